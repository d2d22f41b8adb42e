"""Texts that tools write beside their images: prompts, settings, workflows, descriptions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from noisescope_core.images.records.words import is_generator, made_with

JOB_OF_MIDJOURNEY = re.compile(r"\bJob ID: [0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
"""Ends the descriptions that Midjourney writes."""

_STEPS = re.compile(r"\bSteps: \d")
_MODEL = re.compile(r"\bModel: ([^,\n]{1,120})")
_VERSION_OF_FOOOCUS = re.compile(r"\bVersion: Fooocus\b")
_SD_NEXT = re.compile(r"\bApp: SD\.?Next\b")
_MODEL_OF_COMFY = re.compile(r'"(?:ckpt_name|unet_name)"\s{0,8}:\s{0,8}"([^"\\]{1,120})"')
_MODEL_OF_INVOKE = re.compile(
    r'"(?:model_name|model_weights|name)"\s{0,8}:\s{0,8}"([^"\\]{1,120})"'
)

_PROGRAMS = ("software", "generator", "creatortool", "app", "application")
"""Keywords whose text is the name of a program, in lower case."""

_DESCRIPTIONS = ("description", "comment", "title", "source", "credit", "author", "copyright")
"""Keywords whose text may say with what an image was made."""


def tool_of(texts: Mapping[str, str]) -> str | None:
    """Name the tool that wrote texts, with its model if they name one; None if it is not known.

    Parameters
    ----------
    texts : by keyword, in lower case

    Examples
    --------
    >>> tool_of({"parameters": "a cat\\nSteps: 20, Sampler: Euler a, Model: dreamshaper_8"})
    'AUTOMATIC1111: dreamshaper_8'
    >>> tool_of({"parameters": "exposure 1/60"}) is None
    True
    """
    return next(filter(None, (of(texts) for of in _TOOLS)), None)


def _program(texts: Mapping[str, str]) -> str | None:
    named = next((texts[key] for key in _PROGRAMS if is_generator(texts.get(key, ""))), None)
    # NovelAI names its model as the source.
    source = texts.get("source", "") if named and "novelai" in named.lower() else ""
    return _with_model(named, source) if named else None


def _invoke(texts: Mapping[str, str]) -> str | None:
    """Take texts of InvokeAI, of all its versions."""
    for keyword in ("invokeai_metadata", "sd-metadata", "invokeai_graph", "dream"):
        if text := texts.get(keyword):
            # `dream` is a word; what InvokeAI wrote under it ends with its settings.
            if keyword == "dream" and " -s" not in text:
                continue
            return _with_model("InvokeAI", _first(_MODEL_OF_INVOKE, text))
    return None


def _web_ui(texts: Mapping[str, str]) -> str | None:
    """Take the settings that AUTOMATIC1111 and its descendants write."""
    if "fooocus_scheme" in texts:
        return "Fooocus"
    text = texts.get("parameters", "")
    if '"sui_image_params"' in text:
        return "SwarmUI"
    if not _STEPS.search(text):
        return None
    name = "AUTOMATIC1111"
    if _VERSION_OF_FOOOCUS.search(text):
        name = "Fooocus"
    elif _SD_NEXT.search(text):
        name = "SD.Next"
    return _with_model(name, _first(_MODEL, text))


def _comfy(texts: Mapping[str, str]) -> str | None:
    """Take ComfyUI's graphs."""
    prompt, workflow = (texts.get(keyword, "").lstrip() for keyword in ("prompt", "workflow"))
    if prompt.startswith("{") and '"class_type"' in prompt:
        return _with_model("ComfyUI", _first(_MODEL_OF_COMFY, prompt))
    return "ComfyUI" if workflow.startswith("{") and '"nodes"' in workflow else None


def _easy_diffusion(texts: Mapping[str, str]) -> str | None:
    model = texts.get("use_stable_diffusion_model")
    return None if model is None else _with_model("Easy Diffusion", model)


def _described(texts: Mapping[str, str]) -> str | None:
    """Take what descriptions say: a job of Midjourney, or that a generator made it."""
    for keyword in _DESCRIPTIONS:
        text = texts.get(keyword, "")
        if JOB_OF_MIDJOURNEY.search(text):
            return "Midjourney"
        if named := made_with(text):
            return named
    return None


_TOOLS: tuple[Callable[[Mapping[str, str]], str | None], ...] = (
    _invoke, _program, _web_ui, _comfy, _easy_diffusion, _described,
)  # fmt: skip


def _first(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1].strip() if match else ""


def _with_model(tool: str, model: str) -> str:
    return f"{tool}: {model}" if model else tool
