"""The README is run: its Python blocks in order, its commands, its tables held against the code."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer
from sqlalchemy.engine import make_url

from simpleml import migrations
from simpleml.cli import main
from simpleml.cli.app import app
from simpleml.errors import ConfigurationError
from simpleml.orm.database import open_store
from simpleml.persistables.classes import classes
from simpleml.save_patterns.catalogue import SAFE_PATTERNS if False else patterns, serializers
