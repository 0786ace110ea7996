"""What the stage tests share: loading the learner's class, comparing what it gives, and saying what is wrong."""

from .comparing import expect, expect_close, expect_same
from .failing import Wrong
from .loading import load, on_another_device
from .showing import show, table

__all__ = ["Wrong", "expect", "expect_close", "expect_same", "load", "on_another_device", "show", "table"]
