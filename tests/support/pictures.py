"""A task whose documents show small pictures, in a folder of its own."""

from __future__ import annotations

import json
from pathlib import Path

from support.documents import png
from support.runs import write_task

TASK = """
task: pictures
dataset_path: json
dataset_kwargs: {data_files: {test: pictures.jsonl}}
test_split: test
media: {image: "images/{{ picture }}.png"}
output_type: generate_until
doc_to_messages:
  - role: user
    content: [{type: image, image: image}, {type: text, text: "What is the colour of {{ thing }}?"}]
doc_to_target: colour
generation_kwargs: {max_new_tokens: 8, temperature: 0}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""


def write_pictures(folder: Path, documents: int, pictures: int = 20) -> Path:
    """The task files; the target is blue for every fourth document, red for the others."""
    write_task(folder, documents=1)
    (folder / "pictures.yaml").write_text(TASK)
    (folder / "images").mkdir()
    for number in range(pictures):
        (folder / "images" / f"{number}.png").write_bytes(png(number))
    rows = [
        {"thing": f"thing {n}", "colour": "red" if n % 4 else "blue", "picture": str(n % pictures)}
        for n in range(documents)
    ]
    (folder / "pictures.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
