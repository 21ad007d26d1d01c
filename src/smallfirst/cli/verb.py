"""Nouns that are a verb as well: `smallfirst gate CANDIDATE` beside `smallfirst gate approve CANDIDATE`."""

from __future__ import annotations

from typing import Any, ClassVar

from typer.core import TyperGroup


class Verb(TyperGroup):
    """A group whose first argument, where it names no command of it, is one of `default`'s; without any, `default` it is."""

    default: ClassVar[str]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in ctx.help_option_names:
            args = self._named(args)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        return super().resolve_command(ctx, self._named(args))

    def _named(self, args: list[str]) -> list[str]:
        return args if args and args[0] in self.commands else [self.default, *args]
