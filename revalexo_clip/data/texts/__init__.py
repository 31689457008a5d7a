"""Sentences of windows: from activity labels through templates, or from narrations with times."""

from revalexo_clip.data.texts.base import Texts, WindowTexts
from revalexo_clip.data.texts.narrations import Narrations
from revalexo_clip.data.texts.templates import ActivityTemplates

__all__ = ["ActivityTemplates", "Narrations", "Texts", "WindowTexts"]
