"""What the stage tests share: loading the learner's class, comparing what it gives, and saying what is wrong."""

from .failing import Wrong
from .loading import load
from .seeds import random, tokens
from .showing import show, table
from .task import Task

__all__ = ["Task", "Wrong", "load", "random", "show", "table", "tokens"]
