"""Words whose meaning does not depend on a task: what turns an answer round, counts, measures, points or asks. English only.

Lists are the exception here. What words may stand for another is learned from a task's own answers (`guard.py`); these may not, whatever was learned.
"""

from __future__ import annotations

_SOFT_WORDS = "get got getting want need like know tell give show see help let go going gone make take find try use have"
SOFT = frozenset(_SOFT_WORDS.split())  # verbs of asking

_FUNCTION_WORDS = (
    "a an the this that these those i me my mine we our ours you your yours he him his she her hers it its they them their theirs am is are "
    "was were be been being do does did done have has had having will would shall should can could may might must and or but if then so because "
    "as of at by for with about into onto over under between through during before after above below to from up down in out on off not no nor "
    "never none nothing without n't what which who whom whose when where why how there here just please kindly also too very really quite "
    "actually still already yet now again ever even only hi hello hey thanks thank ok okay well some any all both each more most other such "
    "than until while ll ve re d s m im ive id gonna wanna let's anyone someone something anything"
)
FUNCTION = frozenset(_FUNCTION_WORDS.split()) | SOFT

CONTRACTIONS = {
    "can't": ("can", "not"), "cannot": ("can", "not"), "cant": ("can", "not"), "won't": ("will", "not"), "wont": ("will", "not"), "n't": ("not",),
    "shan't": ("shall", "not"), "ain't": ("is", "not"), "dont": ("do", "not"), "doesnt": ("does", "not"), "didnt": ("did", "not"),
    "isnt": ("is", "not"), "wasnt": ("was", "not"), "arent": ("are", "not"), "havent": ("have", "not"), "hasnt": ("has", "not"),
    "couldnt": ("could", "not"), "shouldnt": ("should", "not"), "wouldnt": ("would", "not"), "im": ("i", "am"), "ive": ("i", "have"),
    "let's": ("let",), "gonna": ("going", "to"), "wanna": ("want", "to"), "whats": ("what", "is"), "wheres": ("where", "is"),
}  # fmt: skip
ENDINGS = {
    "re": "are",
    "ve": "have",
    "ll": "will",
    "m": "am",
    "d": "would",
}  # 's is left out: it is also a possessive

_NEGATIONS_WORDS = (
    "not no never none nothing nobody neither nor without except excluding unless hardly lacks lacking minus"
)
NEGATIONS = frozenset(_NEGATIONS_WORDS.split())
_MARKS = {
    "asks who": "who whom whose",
    "asks when": "when",
    "asks where": "where",
    "asks why": "why",
    "asks how": "how",
    "first": "first earliest oldest",
    "last": "last latest newest",
    "only": "only",
}
MARKS = {word: mark for mark, words in _MARKS.items() for word in words.split()}

_DIRECTIONS_WORDS = "from to into onto out off before after until since under over above below than by against towards between for with"
DIRECTIONS = frozenset(_DIRECTIONS_WORDS.split())
_OPPOSED_DIRECTIONS = (
    "from/to into/out before/after under/over above/below on/off in/out up/down with/without since/until"
)

_OPPOSITES = (
    "enable/disable activate/deactivate on/off increase/decrease raise/lower add/remove add/delete open/close lock/unlock block/unblock "
    "freeze/unfreeze start/stop start/end begin/end accept/reject accept/decline approve/reject approve/deny allow/block allow/deny allow/forbid "
    "permit/forbid buy/sell send/receive give/take lend/borrow deposit/withdraw credit/debit import/export upload/download install/uninstall "
    "subscribe/unsubscribe login/logout connect/disconnect mount/unmount attach/detach encrypt/decrypt compress/decompress push/pull push/pop "
    "merge/split show/hide mute/unmute arm/disarm join/leave arrive/depart arrival/departure inbound/outbound incoming/outgoing minimum/maximum "
    "min/max least/most less/more fewer/more lowest/highest cheapest/expensive smallest/largest shortest/longest first/last earliest/latest "
    "oldest/newest previous/next past/future yesterday/tomorrow today/tomorrow today/yesterday morning/evening am/pm hot/cold warm/cool heat/cool "
    "high/low big/small large/small long/short fast/slow early/late old/new young/old left/right top/bottom front/back inside/outside "
    "indoor/outdoor internal/external public/private local/remote local/global domestic/international true/false yes/no positive/negative "
    "success/failure succeed/fail pass/fail valid/invalid active/inactive safe/dangerous safe/unsafe can/must may/must always/never all/none "
    "everyone/nobody everything/nothing with/without before/after above/below over/under up/down in/out win/lose gain/loss profit/loss "
    "asset/liability income/expense revenue/cost overpaid/underpaid overcharged/undercharged read/write input/output encode/decode "
    "serialize/deserialize client/server parent/child source/destination sender/recipient buyer/seller lender/borrower employer/employee "
    "landlord/tenant teacher/student doctor/patient mother/father male/female man/woman husband/wife ascending/descending horizontal/vertical "
    "row/column hyper/hypo hypertension/hypotension hyperglycemia/hypoglycemia bradycardia/tachycardia dilate/constrict oral/intravenous "
    "systolic/diastolic benign/malignant acute/chronic prefix/suffix upgrade/downgrade promote/demote hire/fire same/different physical/virtual "
    "visa/mastercard debit/credit wifi/bluetooth lock/open dim/brighten louder/quieter turn_on/turn_off switch_on/switch_off turn_up/turn_down"
)


def _pairs(text: str) -> frozenset[frozenset[str]]:
    return frozenset(frozenset(pair.split("/")) for pair in text.split())


OPPOSITES = _pairs(_OPPOSITES + " " + _OPPOSED_DIRECTIONS)
OPPOSING_PREFIXES = (
    "un",
    "dis",
    "de",
    "in",
    "im",
    "non",
    "mis",
    "over",
    "under",
    "pre",
    "post",
    "anti",
    "hyper",
    "hypo",
)

_COUNTED = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty"
_UNITS_OF_NUMBERS = _COUNTED.split()
NUMBERS = {word: str(at) for at, word in enumerate(_UNITS_OF_NUMBERS) if word != "one"} | {
    "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90", "hundred": "100",
    "thousand": "1000", "million": "1000000", "billion": "1000000000", "dozen": "12", "half": "1/2", "quarter": "1/4", "twice": "2", "double": "2",
    "triple": "3", "third": "3", "fourth": "4", "fifth": "5", "sixth": "6", "once": "1", "couple": "2",
}  # fmt: skip
_DATES = (
    "january/jan february/feb march april/apr june/jun july/jul august/aug september/sep/sept october/oct november/nov december/dec "
    "monday/mondays/mon tuesday/tuesdays/tue wednesday/wednesdays/wed thursday/thursdays/thu friday/fridays/fri saturday/saturdays sunday/sundays "
    "today/tonight tomorrow yesterday weekend/weekends morning/mornings afternoon evening noon midnight spring summer autumn/fall winter daily "
    "weekly monthly/month yearly/annually/annual hourly week/weeks year/years day/days hour/hours minute/minutes second/seconds"
)
DATES = {word: names.split("/")[0] for names in _DATES.split() for word in names.split("/")}
_UNITS = (
    "$/usd/dollar/dollars/bucks €/eur/euro/euros £/gbp/pound/pounds/quid ¥/yen/jpy ₹/rupee/rupees/inr aud cad chf/franc/francs cny/yuan "
    "btc/bitcoin eth/ethereum %/percent/percentage kg/kilo/kilos/kilogram/kilograms g/gram/grams mg/milligram/milligrams mcg/microgram/micrograms "
    "lb/lbs oz/ounce/ounces km/kilometer/kilometers/kilometre/kilometres m/meter/meters/metre/metres cm/centimeter/centimeters "
    "mm/millimeter/millimeters mile/miles ft/foot/feet inch/inches yard/yards l/liter/liters/litre/litres ml/milliliter/milliliters cup/cups "
    "tablespoon/tablespoons/tbsp teaspoon/teaspoons/tsp gallon/gallons pint/pints celsius fahrenheit kelvin mph kmh kb mb gb tb kbps mbps gbps "
    "watt/watts kwh volt/volts ms hz khz mhz ghz cents/cent pence/penny"
)
UNITS = {
    word: names.split("/")[0]
    for names in _UNITS.split()
    for word in names.split("/")
    if word not in ("m", "g", "l")
}

_CAPITALISED_WORDS = "i'm i'd i'll i've atm pin app id sms ok faq url usa uk eu english"
CAPITALISED = frozenset(_CAPITALISED_WORDS.split())  # that are often written so, and often not

QUOTES = str.maketrans({"’": "'", "‘": "'", "`": "'", "“": '"', "”": '"', "„": '"', "–": "-", "—": "-"})
JOINERS = frozenset("\u200d\ufe0f\u00ad")  # in emoji and hyphenation; they are read over
ALIKE = frozenset(("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"))
