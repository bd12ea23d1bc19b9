"""What the user may set: one frozen `Settings`, from a TOML file, `SIMPLEML_*` variables and arguments."""

from simpleml.settings.secret import Secret
from simpleml.settings.settings import Settings

__all__ = ["Secret", "Settings"]
