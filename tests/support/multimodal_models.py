"""Makes tiny models with random weights that hear or see: what they say means nothing, but all of them goes the way of the
real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.models import make_tokenizer

IN_PARTS = (
    "{% for m in messages %}<|{{ m['role'] }}|>{% for part in m['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% else %}[MARK]{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""A chat template over lists of parts; [MARK] is where a medium goes."""


def make_whisper(folder: Path, *, seed: int = 0) -> Path:
    """A Whisper of two layers: English and German, transcripts and translations, 64 tokens of decoder."""
    import torch
    from tokenizers import pre_tokenizers
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizer,
    )

    tokens = ["<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>", "<|transcribe|>", "<|startoflm|>"]
    tokens += ["<|startofprev|>", "<|nospeech|>", "<|notimestamps|>", *(f"<|{n * 0.02:.2f}|>" for n in range(1501))]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = WhisperTokenizer(vocab={letter: place for place, letter in enumerate(alphabet)}, merges=[])
    tokenizer.add_tokens(tokens, special_tokens=True)
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in (*tokens, "<|endoftext|>")}
    ends = {f"{name}_token_id": ids["<|endoftext|>"] for name in ("bos", "eos", "pad")}
    torch.manual_seed(seed)
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_target_positions=64,
        init_std=0.6,
        decoder_start_token_id=ids["<|startoftranscript|>"],
        **ends,
    )
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        is_multilingual=True,
        lang_to_id={"<|en|>": ids["<|en|>"], "<|de|>": ids["<|de|>"]},
        task_to_id={"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]},
        no_timestamps_token_id=ids["<|notimestamps|>"],
        prev_sot_token_id=ids["<|startofprev|>"],
        max_initial_timestamp_index=50,
        decoder_start_token_id=ids["<|startoftranscript|>"],
        # Timestamps are no words; a model that knows nothing would say little else.
        suppress_tokens=[ids["<|nospeech|>"]],
        **ends,
    )
    model.save_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(feature_size=80), tokenizer).save_pretrained(folder)
    return folder


def make_audio_model(folder: Path, *, seed: int = 0) -> Path:
    """A Qwen2-Audio of two layers over the text models' vocabulary."""
    import torch
    from transformers import (
        Qwen2AudioConfig,
        Qwen2AudioForConditionalGeneration,
        Qwen2AudioProcessor,
        WhisperFeatureExtractor,
    )

    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"], special_tokens=True)
    torch.manual_seed(seed)
    config = Qwen2AudioConfig(
        audio_config={
            "d_model": 32,
            "encoder_layers": 2,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 64,
            "num_mel_bins": 80,
            "init_std": 0.6,
        },
        text_config=_text_config("qwen2", len(tokenizer), 2048),
        audio_token_index=tokenizer.convert_tokens_to_ids("<|AUDIO|>"),
    )
    Qwen2AudioForConditionalGeneration(config).save_pretrained(folder)
    template = IN_PARTS.replace("[MARK]", "<|audio_bos|><|AUDIO|><|audio_eos|>")
    processor = Qwen2AudioProcessor(WhisperFeatureExtractor(feature_size=80), tokenizer, chat_template=template)
    processor.save_pretrained(folder)
    return folder


def make_translator(folder: Path, *, seed: int = 0) -> Path:
    """A T5 of two layers: an encoder reads the prompt, a decoder answers."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
        initializer_factor=8.0,
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder


def make_video_model(folder: Path, *, seed: int = 0) -> Path:
    """A Qwen2-VL of two layers; its processor needs torchvision."""
    import torch
    from transformers import (
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessorPil,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    tokenizer = make_tokenizer()
    tokens = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer.add_tokens(tokens, special_tokens=True)
    start, end, image, video = map(tokenizer.convert_tokens_to_ids, tokens)
    torch.manual_seed(seed)
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    config = Qwen2VLConfig(
        text_config=_text_config("qwen2_vl_text", len(tokenizer), 2048) | {"rope_parameters": rope},
        vision_config={
            "depth": 2,
            "embed_dim": 32,
            "hidden_size": 32,
            "num_heads": 2,
            "mlp_ratio": 2,
            "initializer_range": 0.6,
        },
        vision_start_token_id=start,
        vision_end_token_id=end,
        image_token_id=image,
        video_token_id=video,
    )
    Qwen2VLForConditionalGeneration(config).save_pretrained(folder)
    seen = "<|vision_start|>{{ '<|video_pad|>' if part['type'] == 'video' else '<|image_pad|>' }}<|vision_end|>"
    size = {"shortest_edge": 28 * 28, "longest_edge": 28 * 28 * 16}
    Qwen2VLProcessor(
        Qwen2VLImageProcessorPil(size=size),
        tokenizer,
        Qwen2VLVideoProcessor(size=size),
        chat_template=IN_PARTS.replace("[MARK]", seen),
    ).save_pretrained(folder)
    return folder


def make_speaker(folder: Path, *, seed: int = 0) -> Any:
    """The weights of a Qwen2.5-Omni whose thinker has two layers, one of a voice beside them; no processor. The model."""
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import Qwen2_5OmniConfig, Qwen2_5OmniForConditionalGeneration

    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    torch.manual_seed(seed)
    config = Qwen2_5OmniConfig(
        thinker_config={
            "text_config": _text_config("qwen2_5_omni_text", 320, 2048) | {"rope_parameters": rope},
            "audio_config": {
                "d_model": 32,
                "encoder_layers": 2,
                "encoder_attention_heads": 2,
                "encoder_ffn_dim": 64,
                "output_dim": 32,
            },
            "vision_config": {
                "depth": 2,
                "hidden_size": 32,
                "num_heads": 2,
                "intermediate_size": 64,
                "out_hidden_size": 32,
                "fullatt_block_indexes": [1],
            },
            "vision_start_token_id": 300,
        },
        enable_audio_output=False,
    )
    model = Qwen2_5OmniForConditionalGeneration(config).eval()
    model.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    save_file(weights | {"talker.voice": torch.ones(2)}, folder / "model.safetensors", metadata={"format": "pt"})
    return model


def _text_config(kind: str, vocabulary: int, positions: int) -> dict[str, object]:
    return {
        "model_type": kind,
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": positions,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "initializer_range": 0.6,
    }
