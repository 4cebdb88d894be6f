"""The tokenizer of the tiny model: byte-pair pieces, learned from the training dialogues, numbered like T5's."""

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

PIECES = 3500
PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"


def learn(texts):
    """A tokenizer with `<pad>` 0, `</s>` 1, `<unk>` 2, that ends every encoding with `</s>`."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()])
    # Splits off punctuation, except the colon in 7:30 and the apostrophe in I'm.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(prepend_scheme="always"),
            pre_tokenizers.Split(Regex(r"[^\w\s'▁:]|:(?!\d)"), behavior="isolated"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=PIECES, special_tokens=[PAD, END, UNKNOWN], show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, 1)])
    assert [tokenizer.token_to_id(t) for t in (PAD, END, UNKNOWN)] == [0, 1, 2]
    return tokenizer
