"""Which scores behind labels and evaluations were imported and not measured."""

from __future__ import annotations

from collections.abc import Sequence

from benchcoe_jobs.store.results.file_origins import ImportedShare


def imported_note(shares: Sequence[ImportedShare]) -> str | None:
    """Which of the experts' scores were imported; None if all were, or none."""
    imported = [share for share in shares if share.imported]
    if not imported or all(share.imported == share.scores for share in shares):
        return None
    listed = [
        f"{share.expert} ({'all' if share.imported == share.scores else f'{share.imported} of'} {share.scores})"
        for share in imported
    ]
    return f"imported scores: {', '.join(listed)}; the others were measured"
