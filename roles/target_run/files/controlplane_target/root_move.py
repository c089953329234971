"""One leg of a move of Docker's roots: from a live engine on the source to a live engine on the destination, or back again.

Rules:
- The journal names the phase before its step begins (phases.py says what each means after a crash).
- Before the stop: one more live pass and one full comparison, so that the critical section has only what changed since to look at; and a Redis that
  writes its append-only file as a whole has ended that.
- Nothing is switched before a full comparison without differences, synced to disk; whoever used the source is gone by then, asked twice.
- Any fault or cancellation goes back by itself: configuration byte for byte, Docker on the source, exactly what ran before.
- Once containers wrote to the destination, going back is a leg of its own that carries the newer data back. Where something of the source is gone there,
  nothing is carried over it: the services stay, and the source is kept as it was.
- The source is never changed by a leg and never deleted: it is recorded as retired.
"""

from __future__ import annotations

import time
from typing import Any

from . import configs, leg_verbs, phases, redis_rest, retired, root_owed, root_refusals, root_writes, services, settle_units
from .cancel import Cancel
from .docker_engine import Engine, inventory_difference
from .faults import FailedFault, RefusedFault
from .files import read_json, write_json
from .mounts import mount_of, nearest_existing, read
from .root_trees import Trees, swapped
from .state import Run
from .systemd import active
from .tree_compare import clock_ns
from .units import assert_stopped, running_units, start_units, stop_units

ENGINE_LIMIT_S = 120
# A first append-only file of a large Redis takes its time, and everything still runs meanwhile.
_REST_LIMIT_S = 600


class RootMove:
    """The leg that `run`'s journal describes: keys trees, configs, leg, stop_timeout_s, answer_timeout_s, ends."""

    def __init__(self, run: Run, engine: Engine, cancel: Cancel, command: list[str]) -> None:
        self.run, self.engine, self.cancel, self.command = run, engine, cancel, command
        self.trees = Trees(run, cancel)

    def enter(self, phase: str, **changes: Any) -> None:
        """Write the phase that begins now, and when."""
        leg_verbs.enter(self.run, phase, **changes)

    def stage(self) -> None:
        """Copy and compare while everything still runs."""
        self.enter("staging")
        self.trees.stage()

    # The critical section.

    def execute(self, held: list[configs.Pair]) -> None:
        """Stop, copy the last difference, compare, switch, start, prove; on any fault go back and raise it."""
        redis_rest.await_rest(self.engine.containers, _REST_LIMIT_S, self.cancel.check)
        root_owed.bring(self.run, self.engine)
        # The copy may have taken hours since this was asked.
        if found := root_refusals.of_the_running(self.engine.containers()):
            raise RefusedFault(f"{'; '.join(found)}. Nothing was stopped. The copy is kept: then run this again")
        running = services.record(self.engine)
        write_json(self.run.folder / "inventory-before.json", self.engine.inventory())
        self.cancel.check()
        table = read()
        sides = (tree[side] for tree in self.trees.held for side in ("from", "to"))
        settle_units.install(self.command, sorted({mount_of(nearest_existing(path), table).mount for path in sides} - {"/"}))
        # What earlier attempts of this leg cost counts with it.
        fresh: dict[str, Any] = {"missed_s": self.run.state.get("downtime_s") or {}, "downtime_s": {}, "killed": [], "owed": [], "complaint": ""}
        self.enter("stopping", configs=held, services=running, units=running_units(), stopped_at=time.time(), **fresh)
        root_owed.settle(self.run.home)
        try:
            self._stop_and_copy()
        except BaseException as fault:
            self.go_back(str(fault) or type(fault).__name__)
            raise
        self.switch_and_conclude()

    def _stop_and_copy(self) -> None:
        state = self.run.state
        # A daemon that is down already was stopped because it did not answer; its socket would start it.
        killed = services.stop_all(self.engine, state["services"], state["stop_timeout_s"]) if active("docker.service") else []
        stop_units(state["units"])
        assert_stopped()
        self.trees.assert_unused()
        self.enter("stopped", killed=killed)
        self.trees.copy_last()
        self.enter("copied")
        began = clock_ns()
        reports = self.trees.prove()
        self.trees.assert_unused()
        assert_stopped()
        self.cancel.check()
        self.enter("compared", compared=reports, compared_at_ns=began)

    # From the proof on.

    def switch_and_conclude(self) -> None:
        """Write the configuration, start, and prove that everything is there and answers; a fault goes back and is raised."""
        self.cancel.close()
        try:
            configs.switch(self.run.state["configs"], "after")
            if self.run.phase == "compared":
                self.enter("switched")
            self.enter("starting")
            self._start_engine()
            going = self._let_end()
        except Exception as fault:
            self._leave(str(fault))
            raise
        faults = self._start_services(going)
        if faults and self.run.state["leg"] != "carry":
            self._carry_back("; ".join(faults))
        self._complain(faults)
        self.finish()

    def conclude_again(self) -> None:
        """End a leg whose services answered already, after a crash."""
        start_units(self.run.state["units"])
        if "docker.service" in self.run.state["units"] and self.engine.wait(ENGINE_LIMIT_S):
            # What it cost is measured already.
            cost = self.run.state.get("downtime_s") or {}
            self._complain(self._start_services(self._let_end()))
            self.run.write(downtime_s=cost)
        self.finish()

    def _start_engine(self) -> None:
        start_units(self.run.state["units"])
        if "docker.service" not in self.run.state["units"]:
            return
        if not self.engine.wait(ENGINE_LIMIT_S):
            raise FailedFault(f"Docker does not answer on {self._roots('to')} within {ENGINE_LIMIT_S} s")
        root = self.engine.info()["DockerRootDir"]
        wanted = next((tree["to"] for tree in self.trees.held if tree["kind"] == "docker"), root)
        if root != wanted:
            raise FailedFault(f"Docker started on {root}, not on {wanted}")
        difference = inventory_difference(read_json(self.run.folder / "inventory-before.json"), self.engine.inventory())
        # A copy can lose things or change them; what is new, somebody made since Docker started.
        missing = [line for line in difference if not line.endswith(" is new")]
        if missing:
            raise FailedFault(f"Docker shows other things on {self._roots('to')} than before: {'; '.join(missing[:5])}")

    def _leave(self, reason: str) -> None:
        """Give up a destination on which Docker did not come up as it was, without losing what containers wrote there meanwhile.

        Restart policies start containers before Docker answers, so a fault does not mean that nothing ran.
        """
        if self.run.phase not in phases.DESTINATION_IS_TRUTH:
            self.go_back(reason)
            return
        try:
            self._stop_everything()
        except Exception as fault:
            raise FailedFault(f"{reason}; and Docker can't be stopped there: {fault}") from fault
        written = root_writes.written(self.trees.held)
        if not written:
            self.go_back(reason)
            return
        lost = root_writes.lost(self.trees.held)
        if not lost and self.run.state["leg"] != "carry":
            self._carry_back(reason)
        if lost:
            reason = f"{reason}. {', '.join(lost[:5])} of {self._roots('from')} is gone there, while containers wrote {', '.join(written[:5])}"
        self._stay(reason)

    def _stay(self, reason: str) -> None:
        """End the leg on its destination: it alone holds what is newest. What ran before is started as far as it starts."""
        self.run.write(complaint=reason)
        start_units(self.run.state["units"])
        if "docker.service" in self.run.state["units"] and self.engine.wait(ENGINE_LIMIT_S):
            self._complain([reason, *self._start_services([])])
        self.finish()
        raise FailedFault(f"{reason}. Nothing was taken back, because that is newer; {self._roots('from')} is kept as it was")

    def _let_end(self) -> list[str]:
        return services.let_end(self.engine, self.run.state["services"], self.run.state["stop_timeout_s"])

    def _start_services(self, going: list[str]) -> list[str]:
        """Start what ran before; return what is wrong with it. Of `going` it is known that they may end yet."""
        state = self.run.state
        failed = services.start_all(self.engine, state["services"])
        answered, missing = services.wait_for_answers(self.engine, state["services"], 5 if failed else state["answer_timeout_s"])
        self._note_downtime(answered)
        owed = [held for held in state["services"] if held["name"] in (*failed, *going) or held["name"] not in answered]
        self.run.write(owed=[{**held, "down_since": state["stopped_at"]} for held in owed])
        return [*failed.values(), *missing, *(f"{name} was told to end, did not, and may end yet" for name in going)]

    def _complain(self, faults: list[str]) -> None:
        if faults:
            self.run.write(complaint="; ".join(faults))

    def _note_downtime(self, answered: dict[str, float]) -> None:
        stopped, missed = self.run.state["stopped_at"], self.run.state.get("missed_s") or {}
        # One that did not answer is down still; what earlier attempts cost it stays.
        self.run.write(downtime_s={**missed, **{name: round(at - stopped + missed.get(name, 0.0), 3) for name, at in sorted(answered.items())}})

    def _carry_back(self, reason: str) -> None:
        """Bring the containers back to the source with what they wrote on the destination, then raise."""
        state = self.run.state
        trees = [swapped(tree, read_since_ns=state["compared_at_ns"]) for tree in self.trees.held]
        pairs = [{"before": pair["after"], "after": pair["before"]} for pair in state["configs"]]
        if state["of"] is None:
            # Should the newer data not come back, this leg ends on its destination, and an undo has to know what it did.
            self.run.write(forward={"trees": state["trees"], "configs": state["configs"]})
        self.run.write(
            trees=trees,
            configs=pairs,
            leg="carry",
            ends={"well": state["ends"]["back"], "back": state["ends"]["well"]},
            phase="stopping",
            reason=reason,
            services=services.as_they_live(self.engine, state["services"]),
        )
        self.trees.proven = {}
        self.trees.clear_flags()
        try:
            self._stop_and_copy()
        except BaseException as fault:
            self.go_back(f"{reason}; and the newer data could not be carried back: {fault}")
            raise
        self.switch_and_conclude()
        raise FailedFault(
            f"{reason}. Went back: the services run on {self._roots('to')} again, with what they wrote meanwhile. Mend the cause, then run this again."
        )

    def finish(self) -> None:
        """Retire the source and close the journal."""
        state = self.run.state
        if self.run.phase != "answered":
            self.enter("answered")
        # A carry that ends a failed forward leg leaves a partial copy, which the next attempt goes on with.
        if state["leg"] != "carry" or state["of"]:
            retired.retire(self.run.home, state["of"] or self.run.key, self.trees.held, now=time.time())
        if state["leg"] == "forward":
            self.run.write(forward={"trees": state["trees"], "configs": state["configs"]})
        self.run.home.write_last_change(self.run.key, time.time())
        settle_units.uninstall()
        self.enter(state["ends"]["well"], finished_at=time.time())

    def go_back(self, reason: str) -> None:
        """Put everything back on the source: nothing that a container wrote lies on the destination alone. Safe to repeat."""
        state = self.run.state
        self.enter("reverting", reason=reason)
        # With the configuration as it was, what may still be left of a stop is no reason to leave the services down.
        if any(configs.on_disk(pair) != pair["before"] for pair in state["configs"]):
            self._stop_everything()
            configs.switch(state["configs"], "before")
        start_units(state["units"])
        if "docker.service" in state["units"]:
            if not self.engine.wait(ENGINE_LIMIT_S):
                raise FailedFault(
                    f"{reason}. Going back, Docker does not answer on {self._roots('from')} within {ENGINE_LIMIT_S} s. Look at 'journalctl -u docker', then run this again."
                )
            self._complain(self._start_services(self._let_end()))
        if state["leg"] in ("undo", "carry"):
            unused = [swapped(tree, read_since_ns=0) for tree in self.trees.held]
            retired.retire(self.run.home, state["of"] or self.run.key, unused, now=time.time())
        settle_units.uninstall()
        self.enter(state["ends"]["back"], finished_at=time.time())

    def _stop_everything(self) -> None:
        # With live-restore a container outlives the daemon, so the daemon is asked first, but only while it runs: its socket would start it.
        if active("docker.service") and self.engine.answers():
            # Cut off from here on, whoever goes on has to know which lives were told to end.
            self.run.write(services=services.as_they_live(self.engine, self.run.state["services"]))
            services.stop_all(self.engine, services.record(self.engine), self.run.state["stop_timeout_s"])
        stop_units(self.run.state["units"])
        assert_stopped()

    def _roots(self, side: str) -> str:
        return " and ".join(tree[side] for tree in self.trees.held) or "the new configuration"
