"""Why fields are what they are: the notes of a config, for the person who starts a run of it."""

from vdp.settings.compare import flatten
from vdp.settings.parse import to_json
from vdp.settings.sections import Settings


def in_words(settings: Settings) -> list[str]:
    """One line for every note on a field there is, with the field's value."""
    values = flatten(to_json(settings))
    lines = []
    for note in settings.notes:
        field, _, why = note.partition(": ")
        if field in values:
            lines.append(f"{field}={values[field]}: {why}")
    return lines
