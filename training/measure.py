"""Says how many training pictures a core makes in a second: drawn, tiled, labelled, and their questions tokenized."""

import time

from batches import MOST_VIEWS, Maker, new_slot

PICTURES = 96  # a batch
BATCHES = 10


def main() -> None:
    maker, slot = Maker(seed=1, count=PICTURES), new_slot(PICTURES, MOST_VIEWS)
    for tiled in (False, True):
        maker.fill(slot, tiled)  # sprites and fonts are read once
        begin, pictures, questions = time.process_time(), 0, 0
        for _ in range(BATCHES):
            told = maker.fill(slot, tiled)
            pictures, questions = pictures + told[2], questions + told[4]
        seconds = time.process_time() - begin
        kind = "tiled pictures" if tiled else "pictures of one view"
        print(f"{pictures / seconds:.0f} {kind} and {questions / seconds:.0f} questions in a CPU second")


if __name__ == "__main__":
    main()
