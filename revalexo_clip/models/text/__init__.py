"""Text encoders: from sentences to features, and the tower that maps them to the shared space."""

from revalexo_clip.models.text.base import TextEncoder, TextNet
from revalexo_clip.models.text.hf_text import HFText
from revalexo_clip.models.text.word_text import WordText

__all__ = ["HFText", "TextEncoder", "TextNet", "WordText"]
