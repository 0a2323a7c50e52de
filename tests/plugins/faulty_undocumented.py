from plugins import faulty_defenses


class NoDocstring(faulty_defenses.Sound):
    breaks = "docstring"
