"""Grading: what `python -m course grade` is made of.

submission.py   takes the stage files, and nothing else, out of a folder, an archive or a git repository
desk.py         lays them into a pristine course without the finished code
sandbox.py      runs one stage of one desk in a process of its own, with limits, cut off from everything else
child.py        what runs in there: probes and pytest
probes.py       numbers that only right code gives; they are compared out here, where a submission cannot reach
marking.py      from what came back to points
formats.py      Gradescope, JUnit, exercism, CSV and Markdown
"""
