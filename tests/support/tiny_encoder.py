"""A sentence encoder that nobody trained: BERT's shape in two layers of 32, over the words that the tests' texts have."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

WORDS = (
    "charged twice invoice refund payment wrong bill crash error blank page export fails invite "
    "colleague change password add filter how where the my on please again today team"
)


def tiny_encoder(folder: Path, *, layers: int = 2, model_type: str = "bert") -> Path:
    """A folder as Hugging Face has it. The same each time."""
    import torch
    from transformers import AutoConfig, AutoModel

    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3}
    vocabulary |= {word: at for at, word in enumerate(WORDS.split(), start=len(vocabulary))}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    shape = {
        "vocab_size": len(vocabulary),
        "hidden_size": 32,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 128,
    }
    if model_type == "distilbert":
        shape = {"vocab_size": len(vocabulary), "dim": 32, "n_layers": layers, "n_heads": 4, "hidden_dim": 64}
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(model_type, **shape))
    folder.mkdir(parents=True)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
