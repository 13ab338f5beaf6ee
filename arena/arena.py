"""The arena: every act of a rater as one method, one transaction each.

Routes, the Gradio page, studies and live battles all go through here.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import Literal

from sqlalchemy.engine import Connection

from arena import battles, votes
from arena.audit import serialise
from arena.consent import add_rater, give_consent, has_consented, rater_of_account
from arena.desk import AnswerDesk
from arena.identity import Identity
from arena.keys import Keys
from arena.privacy import AddressHasher, apply_retention, forget_rater
from arena.records import (
    Ballot,
    Battle,
    BattleStatus,
    BattleView,
    Cookies,
    Finished,
    Pairing,
    Rater,
    RaterOrigin,
    Receipt,
    Reveal,
    Waiting,
)
from arena.refusals import Refused
from arena.review import Review
from arena.settings import ArenaSettings
from arena.sources import AnswerMaker, BattleSource, Verifier
from arena.telemetry import Telemetry
from arena.writer import Writer
from evalcore.store import Store

__all__ = ["Arena", "Sent"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What comes with a vote's request."""

    address: str | None = None
    """Where it came from; only a keyed hash of it is stored."""
    evidence: str = ""
    """For the verifier."""


_NOTHING_SENT = Sent()


class Arena:
    """One arena over one store; replicas over the same store are neutral to each other.

    Parameters
    ----------
    store
        Where everything is kept; stays the caller's to close.
    source
        What is compared next.
    settings
        How it behaves.
    maker
        Makes answers where the source has none.
    verifier
        Checks votes' evidence; its outages never lose a vote.

    Raises
    ------
    Refused
        From every method that acts for a rater, with the reason to tell.
    """

    def __init__(
        self,
        store: Store,
        source: BattleSource,
        *,
        settings: ArenaSettings,
        maker: AnswerMaker | None = None,
        verifier: Verifier | None = None,
    ) -> None:
        self.settings = settings
        self.source = source
        self.telemetry = Telemetry()
        self.identity = Identity(Keys(settings.secret), settings)
        self.writer = Writer(store.engine, patience_s=settings.store_patience_s)
        self.desk = AnswerDesk(self.writer, source, clock=settings.clock, telemetry=self.telemetry)
        """For whoever makes answers."""
        self.review = Review(self.writer, clock=settings.clock)
        """For administrators."""
        self._keys = Keys(settings.secret)
        self._addresses = AddressHasher()
        self._maker = maker
        self._verifier = verifier

    def close(self) -> None:
        """Finish what waits to be written."""
        self.writer.close()

    @property
    def is_live(self) -> bool:
        """Whether answers are made here, so that visitors may type prompts and go on."""
        return self._maker is not None

    def identify(self, cookies: Cookies) -> Rater | None:
        """Return who a request's cookies name; also for Gradio handlers (``request.cookies``)."""
        return self.identity.rater(cookies)

    # raters

    async def rater_of_account(self, account: str, origin: RaterOrigin) -> Rater:
        """Return the rater behind an account or link, the same one at every sign-in."""

        def work(connection: Connection) -> Rater:
            serialise(connection, "accounts")
            found = rater_of_account(connection, account)
            rater = found or self.identity.new_rater(origin, account)
            if found is None:
                add_rater(connection, rater, now_ms=self.settings.clock())
            return rater

        return await self.writer.run(work)

    async def consented(self, rater: Rater) -> bool:
        """Whether a rater has agreed to the present text, or there is none."""
        return await self.writer.run(lambda connection: self._consented(connection, rater))

    async def consent(self, rater: Rater, version: str) -> None:
        """Note that a rater agrees to the present text; another version is refused."""
        if version != self.settings.consent_version:
            raise Refused("consent_needed", "The text has changed.")

        def work(connection: Connection) -> None:
            study, now_ms = self.source.study, self.settings.clock()
            give_consent(connection, rater, study=study, version=version, now_ms=now_ms)

        await self.writer.run(work)

    async def forget(self, rater: Rater, *, votes: Literal["keep", "delete"]) -> int:
        """Delete what is known of a rater; return how many votes that touched."""

        def work(connection: Connection) -> int:
            return forget_rater(connection, rater.id, votes=votes, now_ms=self.settings.clock())

        return await self.writer.run(work)

    # battles

    async def next(
        self, rater: Rater, *, prompt: str | None = None, advance: bool = False
    ) -> BattleView | Waiting | Finished:
        """Resume the rater's open battle or open the next one.

        A voted battle whose names were not told yet is resumed as such; ``advance`` seals it first.
        """
        if self._maker is not None and await self.writer.run(
            lambda connection: self._needs_new(connection, rater, advance=advance)
        ):
            await self._maker.admit(rater, prompt)
        try:
            found = await self._next(rater, prompt=prompt, advance=advance)
        except battles.OtherOpenError:
            found = await self._next(rater, prompt=prompt, advance=advance)
        if not isinstance(found, tuple):
            return found
        battle, view = found
        return self._begun(battle, view)

    async def look(self, cookies: Cookies) -> BattleView | None:
        """Return the open battle of whoever the cookies name; None without one."""
        rater = self.identify(cookies)
        if rater is None:
            return None

        def work(connection: Connection) -> BattleView | None:
            battle = battles.open_battle_of(connection, rater.id, self.source.study)
            return None if battle is None else self._view(connection, rater, battle)

        return await self.writer.run(work)

    async def present(self, rater: Rater) -> BattleView | None:
        """Return a rater's open battle; None without one. Opens, begins and ends nothing."""

        def work(connection: Connection) -> BattleView | None:
            battle = battles.open_battle_of(connection, rater.id, self.source.study)
            return None if battle is None else self._view(connection, rater, battle)

        return await self.writer.run(work)

    async def view(self, rater: Rater, token: str) -> BattleView:
        """Return a battle as the browser may see it."""

        def work(connection: Connection) -> tuple[Battle, BattleView]:
            battle = battles.find_by_token(connection, token, rater.id)
            return battle, self._view(connection, rater, battle)

        return self._begun(*await self.writer.run(work))

    async def add_turn(self, rater: Rater, token: str, prompt: str) -> BattleView:
        """Go on with a live battle before the vote."""
        if self._maker is None:
            raise Refused("bad_request", "This battle has no further turns.")
        await self._maker.admit(rater, prompt)

        def work(connection: Connection) -> tuple[Battle, BattleView]:
            battle = battles.find_by_token(connection, token, rater.id)
            if battle.status is not BattleStatus.READY:
                raise Refused("not_ready")
            battles.add_turn(connection, battle, prompt, now_ms=self.settings.clock())
            battle = battles.find_battle(connection, battle.id)
            return battle, self._view(connection, rater, battle)

        return self._begun(*await self.writer.run(work))

    async def skip(self, rater: Rater, token: str, reason: str) -> None:
        """End a battle without a vote; again, it changes nothing."""

        def work(connection: Connection) -> bool:
            battle = battles.find_by_token(connection, token, rater.id)
            if battle.status is BattleStatus.VOTED:
                raise Refused("already_voted")
            if not battle.is_open:
                return False
            detail = {"reason": reason}
            votes.note(
                connection, battle.id, "skipped", now_ms=self.settings.clock(), detail=detail
            )
            ended = battles.set_status(connection, battle, BattleStatus.SKIPPED, reason=reason)
            self.source.settled(connection, ended, None)
            return True

        if await self.writer.run(work):
            self.telemetry.battles.labels("skipped").inc()

    # votes

    async def vote(
        self, rater: Rater, token: str, ballot: Ballot, *, reveal: bool, sent: Sent = _NOTHING_SENT
    ) -> tuple[Receipt, Reveal | None]:
        """Commit a vote; with ``reveal`` seal it and tell the names.

        The same vote again has the same receipt. A vote that can't be verified is kept as such.
        """
        unverified = await self._verified(rater, sent.evidence)

        def work(connection: Connection) -> tuple[Battle, Receipt, bool]:
            now_ms = self.settings.clock()
            battle = battles.find_by_token(connection, token, rater.id)
            ip_hash = self._addresses.hash(connection, sent.address, now_ms=now_ms)
            casting = votes.Casting(
                now_ms=now_ms, ip_hash=ip_hash, unverified=unverified, seals=reveal
            )
            receipt, is_new = votes.cast(
                connection, battle, ballot, casting=casting, keys=self._keys
            )
            if is_new:
                battle = battles.set_status(
                    connection, battle, BattleStatus.VOTED, is_sealed=reveal
                )
                self.source.settled(connection, battle, ballot)
            if reveal and not receipt.sealed:
                receipt = votes.seal(connection, battle, now_ms=now_ms)
            return battle, receipt, is_new

        battle, receipt, is_new = await self.writer.run(work)
        if is_new:
            self.telemetry.votes.labels(receipt.status).inc()
        return receipt, _reveal(battle) if receipt.sealed else None

    async def reveal(self, rater: Rater, token: str) -> tuple[Receipt, Reveal]:
        """Seal the vote that is there and tell the names."""

        def work(connection: Connection) -> tuple[Receipt, Reveal]:
            battle = battles.find_by_token(connection, token, rater.id)
            return votes.seal(connection, battle, now_ms=self.settings.clock()), _reveal(battle)

        return await self.writer.run(work)

    async def undo(self, rater: Rater, token: str) -> BattleView:
        """Take an unsealed vote back; the battle is ready again."""

        def work(connection: Connection) -> BattleView:
            battle = battles.find_by_token(connection, token, rater.id)
            battle = votes.undo(connection, battle, now_ms=self.settings.clock())
            self.source.settled(connection, battle, None)
            return self._view(connection, rater, battle)

        return await self.writer.run(work)

    async def report_mistake(self, rater: Rater, token: str, comment: str) -> Receipt:
        """Leave a sealed vote out of ratings because its rater says it was a mistake."""

        def work(connection: Connection) -> Receipt:
            battle = battles.find_by_token(connection, token, rater.id)
            now_ms = self.settings.clock()
            return votes.report_mistake(connection, battle, comment=comment, now_ms=now_ms)

        return await self.writer.run(work)

    # for the service itself

    async def check(self) -> None:
        """Find out whether votes can be stored.

        Raises
        ------
        Refused
            ``store_unavailable``.
        """
        await self.writer.run(lambda connection: None)

    async def tidy(self) -> None:
        """End battles that waited too long and forget what is older than the retention."""

        def work(connection: Connection) -> int:
            now_ms = self.settings.clock()
            overdue = battles.overdue_battles(connection, now_ms)
            for battle in overdue:
                self._expire(connection, battle)
            if self.settings.retention_days is not None:
                apply_retention(
                    connection, retention_days=self.settings.retention_days, now_ms=now_ms
                )
            return len(overdue)

        self.telemetry.battles.labels("expired").inc(await self.writer.run(work))

    # within a transaction

    async def _next(
        self, rater: Rater, *, prompt: str | None, advance: bool
    ) -> tuple[Battle, BattleView] | Waiting | Finished:
        def work(connection: Connection) -> tuple[Battle, BattleView] | Waiting | Finished:
            if not self._consented(connection, rater):
                raise Refused("consent_needed")
            serialise(connection, f"study {self.source.study}")
            battle = self._present(connection, rater, advance=advance)
            if battle is None:
                found = self.source.next_battle(connection, rater, prompt=prompt)
                if not isinstance(found, Pairing):
                    return found
                battle = self._open(connection, found, rater, typed=prompt is not None)
            return battle, self._view(connection, rater, battle)

        return await self.writer.run(work)

    def _open(
        self, connection: Connection, pairing: Pairing, rater: Rater, *, typed: bool
    ) -> Battle:
        opening = battles.Opening(
            rater=rater,
            study=self.source.study,
            now_ms=self.settings.clock(),
            lifetime_s=self.settings.battle_lifetime_s,
            typed=typed,
        )
        battle = battles.open_battle(connection, pairing, opening, keys=self._keys)
        self.source.opened(connection, battle)
        self.telemetry.battles.labels("opened").inc()
        return battle

    def _present(self, connection: Connection, rater: Rater, *, advance: bool) -> Battle | None:
        """Return the battle to resume; end the one that is over."""
        battle = battles.open_battle_of(connection, rater.id, self.source.study)
        if battle is None:
            return None
        if battle.status is BattleStatus.VOTED:
            if advance:
                votes.seal(connection, battle, now_ms=self.settings.clock())
            return None if advance else battle
        if self.settings.clock() > battle.expires_ms:
            self._expire(connection, battle)
            return None
        return battle

    def _needs_new(self, connection: Connection, rater: Rater, *, advance: bool) -> bool:
        battle = battles.open_battle_of(connection, rater.id, self.source.study)
        return battle is None or (advance and battle.status is BattleStatus.VOTED)

    def _expire(self, connection: Connection, battle: Battle) -> None:
        ended = battles.set_status(connection, battle, BattleStatus.EXPIRED, reason="time")
        self.source.settled(connection, ended, None)

    def _view(self, connection: Connection, rater: Rater, battle: Battle) -> BattleView:
        return BattleView(
            battle_id=battle.id,
            token=self._keys.token(battle.id, rater.id),
            status=battle.status,
            turns=battles.turns(connection, battle),
            form=battle.form,
            category=battle.category,
            receipt=votes.receipt_of(connection, battle),
            progress=self.source.progress(connection, rater),
        )

    def _consented(self, connection: Connection, rater: Rater) -> bool:
        version = self.settings.consent_version
        return has_consented(connection, rater.id, study=self.source.study, version=version)

    # outside of transactions

    def _begun(self, battle: Battle, view: BattleView) -> BattleView:
        if self._maker is None or not battle.is_unanswered:
            return view
        self._maker.begin(battle, view.turns[-1].number)
        return replace(view, place=self._maker.place(battle.id))

    async def _verified(self, rater: Rater, evidence: str) -> str | None:
        """Return why a vote is not verified; None if it is, or nobody asks."""
        if self._verifier is None:
            return None
        try:
            async with asyncio.timeout(self.settings.verification_timeout_s):
                is_good = await self._verifier.verify(rater, evidence)
        except Exception as error:  # whatever it is: an outage must not cost a vote
            self.telemetry.outages.labels("verifier").inc()
            _log.error("arena: votes can't be verified: %s: %s", type(error).__name__, error)
            return "outage"
        return None if is_good else "failed"


def _reveal(battle: Battle) -> Reveal:
    names = battle.shown_names if any(battle.names) else ()
    return Reveal(names=names, note=battle.note)
