"""Presidio's pattern recognizers over the notes on standard input: a JSON list of texts in, spans and seconds out.

Its recognizers of names and places need trained weights, which are another download, and are left out. `pip install presidio-analyzer`.
"""

import json
import sys
import time
from importlib.metadata import version

from presidio_analyzer import PatternRecognizer, RecognizerRegistry


def recognizers():
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    return [one for one in registry.recognizers if isinstance(one, PatternRecognizer) and one.supported_language == "en"]


def spans(known, text, threshold):
    found = []
    for one in known:
        for result in one.analyze(text, one.supported_entities, None) or []:
            if result.score >= threshold:
                found.append([result.start, result.end, result.entity_type])
    return found


def main():
    notes = json.load(sys.stdin)
    known = recognizers()
    spans(known, "warm up", 0.0)
    started = time.process_time()
    found = {str(threshold): [spans(known, note, threshold) for note in notes] for threshold in (0.0, 0.5)}
    seconds = (time.process_time() - started) / 2
    json.dump({"version": version("presidio-analyzer"), "seconds": seconds, "spans": found}, sys.stdout)


main()
