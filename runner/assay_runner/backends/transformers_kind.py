"""What a model's configuration says of it: which auto class of transformers runs it, which media its processor takes and
what that needs. No weights are read, and torchvision need not be installed to find out that it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay_api.errors import SpecError
from assay_runner.backends.arguments import MANIFEST
from assay_runner.backends.source import Source

TEXT = "AutoModelForCausalLM"
TEXT_TO_TEXT = "AutoModelForSeq2SeqLM"
IMAGE_TEXT = "AutoModelForImageTextToText"
MULTIMODAL = "AutoModelForMultimodalLM"
SPEECH = "AutoModelForSpeechSeq2Seq"
CTC = "AutoModelForCTC"

_THINKER = "thinker_config"
"""The part that answers with text, of models that can speak their answers."""

_TAKEN_BY = {
    "image_processor": "image",
    "video_processor": "video",
    "feature_extractor": "audio",
    "audio_processor": "audio",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of model."""

    auto: str
    """The auto class that runs it."""
    media: frozenset[str] = frozenset()
    """What it is shown: image, audio, video."""
    frames_as_images: bool = False
    """Whether it sees a video as pictures in a row, having no video processor of its own."""
    torchvision: bool = False
    """Whether its processor exists only with torchvision."""
    pillow: bool = True
    """Whether its image processor has a form that works with Pillow alone."""
    encodes: bool = False
    """Whether an encoder reads the prompt, so that answers do not begin with it."""
    part: str | None = None
    """The part of the model's configuration that is run; None where all of it is."""

    @property
    def speech(self) -> bool:
        """Whether it transcribes: it takes sound and no text."""
        return self.auto in (SPEECH, CTC)

    @property
    def ctc(self) -> bool:
        """Whether it transcribes frame by frame, with nothing to generate."""
        return self.auto == CTC

    @property
    def has_processor(self) -> bool:
        """Whether a processor prepares its inputs, not a tokenizer alone."""
        return self.auto not in (TEXT, TEXT_TO_TEXT)


def model_kind(source: Source, *, trusted: bool) -> Kind:
    """What kind of model it is.

    Raises:
        SpecError: its architecture is unknown, needs code of its own, or does not answer with text.
    """
    config = _config(source, trusted=trusted)
    part = _THINKER if hasattr(config, _THINKER) else None
    auto = _auto_class(getattr(config, part) if part else config)
    if auto is None:
        raise SpecError(
            MANIFEST,
            "spec.model.name",
            f"models of type {config.model_type} do not answer text, pictures or sound with text",
            "use another model or backend",
        )
    if auto == CTC:
        return Kind(auto, media=frozenset({"audio"}))
    encodes = bool(getattr(config, "is_encoder_decoder", False))
    if auto in (TEXT, TEXT_TO_TEXT):
        return Kind(auto, encodes=encodes)
    parts = _parts(config)
    media = frozenset({"image"}) if parts is None else frozenset(_TAKEN_BY[part] for part in parts if part in _TAKEN_BY)
    in_frames = "image" in media and "video" not in media
    pillow = parts is not None and _has_pillow_form(config)
    return Kind(
        auto,
        media=media | {"video"} if in_frames else media,
        frames_as_images=in_frames,
        torchvision=parts is None or "video_processor" in parts or ("image" in media and not pillow),
        pillow=pillow,
        encodes=encodes,
        part=part,
    )


def _config(source: Source, *, trusted: bool) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(source.name, revision=source.commit, trust_remote_code=trusted)
    except (ValueError, OSError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise SpecError(
            MANIFEST,
            "spec.model.name",
            f"the configuration of {source.name} cannot be used ({reason})",
            "use a model that transformers knows, or set args.trust_remote_code if you trust its code",
        ) from error


def _auto_class(config: Any) -> str | None:
    from transformers.models.auto import modeling_auto as known

    own_classes: Mapping[str, Any] = getattr(config, "auto_map", None) or {}
    text_to_text = (TEXT_TO_TEXT, known.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING)
    text = (TEXT, known.MODEL_FOR_CAUSAL_LM_MAPPING)
    # Several encoder-decoders have a form without the encoder as well.
    texts = (text_to_text, text) if getattr(config, "is_encoder_decoder", False) else (text, text_to_text)
    for auto, mapping in (
        (IMAGE_TEXT, known.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING),
        (MULTIMODAL, known.MODEL_FOR_MULTIMODAL_LM_MAPPING),
        (SPEECH, known.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING),
        (CTC, known.MODEL_FOR_CTC_MAPPING),
        *texts,
    ):
        if type(config) in mapping or auto in own_classes:
            return auto if auto != CTC or _is_ctc(config) else None
    return None


def _is_ctc(config: Any) -> bool:
    """Whether a checkpoint of a type that hears was made to transcribe: others of its type classify, or only encode."""
    return all("CTC" in name for name in getattr(config, "architectures", None) or ())


def _parts(config: Any) -> tuple[str, ...] | None:
    """The processor's parts; None when its class cannot be imported without torchvision."""
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    try:
        if type(config) not in PROCESSOR_MAPPING:
            return ("image_processor", "tokenizer")
        return tuple(PROCESSOR_MAPPING[type(config)].get_attributes())
    except ImportError:
        return None


def _has_pillow_form(config: Any) -> bool:
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

    forms = IMAGE_PROCESSOR_MAPPING_NAMES.get(config.model_type)
    return forms is None or forms.get("pil") is not None
