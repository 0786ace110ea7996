"""The stages of the course, one small file each. Import per module: `from gpt.head_v4 import HeadVer4`."""
