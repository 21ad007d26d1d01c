"""Which language a text is in, where it says."""

from __future__ import annotations

import pytest

from smallfirst.classify.language import language


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("en", "I was charged twice for the same order and I would like to have my money back."),
        ("de", "Ich wurde zweimal für dieselbe Bestellung belastet und möchte das Geld zurück haben."),
        ("fr", "Je ne peux pas me connecter à mon compte et je voudrais que vous le changiez pour moi."),
        ("es", "No puedo entrar en la cuenta y me gustaría que lo cambien por una nueva para el equipo."),
        ("it", "Non riesco ad accedere al mio conto e la fattura che ho ricevuto non è quella della ditta."),
        ("pt", "Não consigo entrar na minha conta e eu queria que você mudasse os dados do meu cartão."),
        ("nl", "Ik kan niet meer inloggen op mijn account en de factuur is ook niet aan mij gestuurd."),
        (
            "pl",
            "Nie mogę się zalogować na moje konto i proszę o to, że jak jest faktura, to dla mojej firmy.",
        ),
        ("sv", "Jag kan inte logga in på mitt konto och det är inte den faktura som jag har fått av er."),
        ("tr", "Bu hesap için fatura var mı ve benim kartım ile ödeme nasıl yapılır, daha çok bilgi ne?"),
        ("ru", "Я не могу войти в свой аккаунт."),
        ("el", "Δεν μπορώ να συνδεθώ στον λογαριασμό μου."),
        ("ar", "لا أستطيع تسجيل الدخول إلى حسابي"),
        ("he", "אני לא מצליח להתחבר לחשבון שלי"),
        ("hi", "मैं अपने खाते में प्रवेश नहीं कर पा रहा हूँ"),
        ("th", "ฉันไม่สามารถเข้าสู่ระบบบัญชีของฉันได้"),
        ("ja", "アカウントにログインできません"),
        ("ko", "계정에 로그인할 수 없습니다"),
        ("zh", "我无法登录我的账户"),
    ],
)
def test_languages_that_it_must_notice(code: str, text: str) -> None:
    assert language(text) == code


@pytest.mark.parametrize("text", ["", "ok", "der die das", "la lo il", "invoice INV-204417", "123 456", "🐛"])
def test_short_texts_do_not_say(text: str) -> None:
    assert language(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "TypeError: cannot read property 'map' of undefined at render (app.js:12:7) node_modules/react-dom",
        "SELECT id, name FROM users WHERE deleted = 0 ORDER BY created DESC LIMIT 10",
        "for i in range(10): print(i) # why does this loop not stop? def f(x): return x if x else None",
        "Traceback (most recent call last): File main.py line 3 in <module> import numpy as np",
        "kubectl get pods -n default -o wide --sort-by=.metadata.name and then delete the one that is stuck",
        r"Find \int_0^1 x^2 dx and show that \lim_{n \to \infty} a_n = 0 for all n",
        "A 45-year-old man has chest pain. ECG shows ST elevation in II, III, aVF. Which artery is occluded?",
        "Which of the following is not true of mitochondria? A) They have DNA B) They make ATP",
    ],
)
def test_technical_english_is_no_other_language(text: str) -> None:
    assert language(text) in ("en", "")


def test_a_word_of_another_script_does_not_make_its_language() -> None:
    assert language("What is the meaning of the word 会社 in the contract that I have to sign?") == "en"


def test_only_the_beginning_is_read() -> None:
    assert language("the cat is on the mat and it is not happy " * 100_000) == "en"
