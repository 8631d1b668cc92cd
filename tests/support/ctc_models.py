"""Makes tiny models with random weights that transcribe with a CTC head."""

from __future__ import annotations

import json
from pathlib import Path

from support.models import make_tokenizer

_LETTERS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'")


def make_wav2vec2(folder: Path, *, masked: bool = True, seed: int = 0) -> Path:
    """A Wav2Vec2 of two layers with a CTC head over letters. It has a mask for padding, or, like the first ones that were
    published, none, normalises over the whole sound, and lacks a parameter that only training reads."""
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import (
        Wav2Vec2Config,
        Wav2Vec2CTCTokenizer,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForCTC,
        Wav2Vec2Processor,
    )

    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({letter: place for place, letter in enumerate(_LETTERS)}))
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=masked)
    Wav2Vec2Processor(extractor, Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))).save_pretrained(folder)
    torch.manual_seed(seed)
    config = Wav2Vec2Config(
        vocab_size=len(_LETTERS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        conv_dim=(16,) * 7,
        feat_extract_norm="layer" if masked else "group",
        do_stable_layer_norm=masked,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        initializer_range=0.6,
        pad_token_id=0,
    )
    model = Wav2Vec2ForCTC(config)
    model.save_pretrained(folder)
    if not masked:
        weights = load_file(folder / "model.safetensors")
        del weights["wav2vec2.masked_spec_embed"]
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def make_parakeet(folder: Path, *, seed: int = 0) -> Path:
    """A Parakeet of two layers with a CTC head over the text models' vocabulary and a blank."""
    import torch
    from transformers import (
        ParakeetCTCConfig,
        ParakeetFeatureExtractor,
        ParakeetForCTC,
        ParakeetProcessor,
        ParakeetTokenizer,
    )

    plain = make_tokenizer()
    tokenizer = ParakeetTokenizer(tokenizer_object=plain.backend_tokenizer, pad_token="<pad>", unk_token="<s>")
    torch.manual_seed(seed)
    config = ParakeetCTCConfig(
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        encoder_config={
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "num_mel_bins": 80,
            "subsampling_conv_channels": 16,
        },
        initializer_range=0.6,
    )
    ParakeetForCTC(config).save_pretrained(folder)
    ParakeetProcessor(ParakeetFeatureExtractor(feature_size=80), tokenizer).save_pretrained(folder)
    return folder
