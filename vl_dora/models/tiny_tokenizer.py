"""A small word-piece tokenizer with BART's special tokens, built from a list of texts.

Every word of the texts is one token; any other word falls back to its letters, so nothing a user
types is unknown (only unseen).
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from vl_dora.models.base import added_tokens

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


def build_tokenizer(
    texts: Iterable[str],
    min_count: int = 1,
    added: Sequence[str] = tuple(added_tokens()),
    capital_alone: str = "",
) -> Any:
    """A `PreTrainedTokenizerFast` that reads `<s> words </s>`, lower-cased.

    Args:
        texts: what the words are taken from.
        min_count: rarer words are left to their letters.
        added: special tokens behind the vocabulary; those of VL-BART unless others are named.
        capital_alone: letters that are written as capitals where they are a whole answer, as benchmarks of
            multiple choice count them; the tokens have no case.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    split = pre_tokenizers.BertPreTokenizer()
    words: Counter[str] = Counter()
    for text in texts:
        words.update(word for word, _ in split.pre_tokenize_str(normalizer.normalize_str(text)))
    letters = string.ascii_lowercase + string.digits + string.punctuation
    kept = sorted(word for word, count in words.items() if count >= min_count and len(word) > 1)
    vocabulary = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters), *kept]
    model = models.WordPiece({word: i for i, word in enumerate(vocabulary)}, unk_token="<unk>")
    tokenizer = Tokenizer(model)
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, split
    tokenizer.decoder = decoders.WordPiece(cleanup=True)
    if capital_alone:
        capitals = [decoders.Replace(Regex(f"^{letter.lower()}$"), letter) for letter in capital_alone]
        tokenizer.decoder = decoders.Sequence([tokenizer.decoder, decoders.Fuse(), *capitals])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
        clean_up_tokenization_spaces=False,
    )
    fast.add_tokens(list(added), special_tokens=True)
    return fast
