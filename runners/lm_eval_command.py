"""lm-evaluation-harness's own command line, with Parity's engine among its models.

``python -m runners.lm_eval_command --model parity --model_args pretrained=DIR --tasks NAME`` takes
all that ``lm_eval`` takes. The harness looks for models in its own registry alone, and nothing but
an import puts one there.
"""

from __future__ import annotations

import sys

from evalcore.errors import ParityError

__all__ = ["main"]


def main() -> None:
    """Run the harness's command line."""
    try:
        from lm_eval.__main__ import cli_evaluate  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "lm_eval":
            raise
        sys.exit("lm-evaluation-harness is not installed: pip install 'parity-eval[lm-eval]'")
    import runners.lm_eval_model  # noqa: F401  registers the model

    try:
        cli_evaluate()
    except ParityError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
