"""Processes of their own for code that is not this project's.

A worker keeps its data sets, victims and libraries warm from stage to stage, so nothing but this project's code may run
in it. A foreign defense runs in a process that holds what the defense is given, and then inputs, and nothing else
(``defender.py``). A stage with a foreign data set, model or attack runs whole in a fresh process (``stage.py``). Both
are forked by a keeper, which has torch loaded and computes nothing (``keeper.py``), so that they cost little.
"""
