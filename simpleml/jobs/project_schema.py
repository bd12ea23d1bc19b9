"""The JSON schema of project files, for editors; `config/project.schema.json` is what this returns."""

from __future__ import annotations

from simpleml.types import JSON

_TEXT: dict[str, JSON] = {"type": "string", "minLength": 1, "maxLength": 255}
_CLASS: dict[str, JSON] = {
    "type": "string",
    "description": "A registered name such as SklearnLogisticRegression, or module:Class.",
}
_OBJECT: dict[str, JSON] = {
    "description": "A table with a class becomes an object of it, made with the other keys; one with a function is that.",
    "type": "object",
}
_LINK = "The name of a table [{kind}.NAME]; several make one node for each, and '*' stands for all of them."


def project_schema() -> dict[str, JSON]:
    """Return the schema of what a project file holds, as far as that is known without the classes it names."""
    nodes: dict[str, JSON] = {
        "dataset": _nodes("What the data is.", {"pipeline": _link("pipeline"), "label_columns": _texts()}),
        "pipeline": _nodes(
            "How it is divided and transformed.",
            {
                "dataset": _link("dataset"),
                "transformers": {
                    "description": "Step → transformer, in this order: [pipeline.NAME.transformers] scale = {class = 'module:Class'}.",
                    "type": ["object", "array"],
                    "additionalProperties": _OBJECT,
                },
                "split": _OBJECT,
            },
        ),
        "model": _nodes("What is fitted.", {"pipeline": _link("pipeline"), "estimator": _OBJECT}),
        "metric": _nodes(
            "What it is worth.",
            {
                "model": _link("model"),
                "dataset": _link("dataset"),
                "dataset_split": {"type": "string", "description": "TRAIN, VALIDATION, TEST, or another split."},
            },
        ),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "simpleml project",
        "description": "Datasets, pipelines, models and metrics, and how they are linked; `simpleml run FILE` builds what is missing.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "project": _table(
                "What everything in the file has in common.",
                {
                    "name": {**_TEXT, "description": "Recorded as the project of everything that is built."},
                    "author": {**_TEXT, "description": "Recorded as its author."},
                    "import": {
                        "type": "array",
                        "items": {"type": "string"},
                        "description": "Modules that register classes of your own.",
                    },
                },
            ),
            "run": _table(
                "Where it is built, unless the command says otherwise.",
                {
                    "executor": {
                        "type": "string",
                        "description": "inline, threads, processes, dask, ray, one of your own, or NAME:ADDRESS.",
                        "examples": ["inline", "threads", "processes", "dask", "ray", "dask:tcp://host:8786"],
                    },
                    "workers": {"type": "integer", "minimum": 1},
                },
            ),
            **nodes,
            "sweep": {
                "description": "Grids: every combination of the values of one [[sweep]] is a point, and is built.",
                "type": "array",
                "items": {
                    "type": "object",
                    "minProperties": 1,
                    "description": "Place → list of values: model.forest.params.max_depth = [3, 5].",
                    "propertyNames": {"pattern": "^(dataset|pipeline|model|metric)(\\..+)?$"},
                    "additionalProperties": {"type": ["array", "object"]},
                },
            },
        },
    }


def _table(description: str, properties: dict[str, JSON]) -> JSON:
    return {"type": "object", "description": description, "additionalProperties": False, "properties": properties}


def _nodes(description: str, own: dict[str, JSON]) -> JSON:
    common: dict[str, JSON] = {
        "class": _CLASS,
        "name": {**_TEXT, "description": "The name it is saved under; that of the table if left out."},
        "version_description": {"type": "string"},
        "params": {"type": "object", "description": "Parameters by name."},
        "config": {"type": "object", "description": "Parameters of a class of your own."},
        "save_patterns": {
            "type": "object",
            "description": "Artifact → save pattern, or a list of them.",
            "additionalProperties": {"type": ["string", "array"]},
        },
    }
    return {
        "type": "object",
        "description": description,
        "propertyNames": {"pattern": "^[A-Za-z0-9_-]{1,100}$"},
        "additionalProperties": {
            "type": "object",
            "required": ["class"],
            "properties": {**common, **own},
            "description": "The other keys are what the __init__ of the class takes.",
        },
    }


def _link(kind: str) -> JSON:
    return {
        "description": _LINK.format(kind=kind),
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
    }


def _texts() -> dict[str, JSON]:
    return {"type": ["array", "string"], "items": {"type": "string"}}
