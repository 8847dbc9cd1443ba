-------------------------- MODULE LeaderElection --------------------------
(***************************************************************************)
(* Candidates that elect a leader through one Kubernetes Lease, each with  *)
(* a clock of its own, over a network that delays, drops and delivers      *)
(* late, against a store that compares resourceVersion and uid.            *)
(*                                                                         *)
(* Everything a candidate does depends only on its own clock and on what   *)
(* it has read; `ghost` is there for the properties and is read by nobody  *)
(* else.  What is modelled, how large, and what is left out is told in     *)
(* docs/proof.md.                                                          *)
(*                                                                         *)
(* Versions.  A resourceVersion is compared for equality with the stored   *)
(* one, and a version once replaced never comes back.  So instead of the   *)
(* number, whoever keeps a snapshot keeps how far it is behind the Lease:  *)
(*   Current  the stored version                                           *)
(*   Touched  older, but the record (the five fields) is still the same    *)
(*   Past     the record was written or deleted since                      *)
(* Every write moves the flags of everybody.  This makes the state space   *)
(* finite with no bound on the number of writes, terms or crashes.  A      *)
(* re-created Lease has another uid and another version: both are Past.    *)
(*                                                                         *)
(* Time.  Tick is one unit of real time; in it each clock goes on by Slow  *)
(* or by Fast units, chosen anew for every clock and tick.                 *)
(***************************************************************************)
EXTENDS Naturals, FiniteSets, TLC

CONSTANTS
  Node,         \* the candidates
  Roomy,        \* those of them with a longer deadline and duration
  Nobody,       \* the holder of a released Lease
  L,            \* renew deadline, in units of the leader's clock
  D,            \* lease duration, in units of the candidate's clock
  S,            \* ticks that work needs, at most, to stop
  Slow, Fast,   \* least and most a clock goes on in a tick
  InFlight,     \* writes of one candidate that may be under way at once
  Faults,       \* what may go wrong, see May
  Calming,      \* TRUE: at some instant all faults stop for good
  Moves,        \* the pairs <<state, next state>> of the table in states.py
  Bug           \* the planted defect, or "none"

VARIABLES
  lease,        \* the stored Lease: [there, holder, noted, asked]
  me,           \* what each candidate knows and does, see Fresh
  tries,        \* the writes of each candidate that are still of consequence
  calm,         \* TRUE: faults have stopped
  ghost         \* for the properties only: [stood, excuse, newest]

vars == <<lease, me, tries, calm, ghost>>

Symmetry == Permutations(Node)

Missing == [there |-> FALSE, holder |-> Nobody, noted |-> FALSE, asked |-> FALSE]

Current == "current"
Touched == "touched"
Past == "past"

Deadline(n) == IF n \in Roomy THEN L + Slow ELSE L
Duration(n) == IF n \in Roomy THEN D + Fast ELSE D

Up(x, y) == (x + y - 1) \div y
Least(x, y) == IF x < y THEN x ELSE y
Minus(x, y) == IF x > y THEN x - y ELSE 0

\* Real time after which the deadline of a term with work has passed for sure.
Window(n) == Up(Deadline(n), Slow) + S
LongestWindow == IF Roomy = {} THEN Up(L, Slow) + S ELSE Up(L + Slow, Slow) + S
\* Real time before which a held record cannot have been seen standing in full.
Quiet(n) == Up(Duration(n), Fast)
LongestQuiet == IF Roomy = {} THEN Up(D, Fast) ELSE Up(D + Fast, Fast)

\* L/(1-rho) + S <= D/(1+rho): what the settings of an elector are checked for.
ASSUME \/ Bug = "settings refused by the arithmetic"
       \/ \A n \in Node : Deadline(n) * Fast + S * Slow * Fast <= Duration(n) * Slow
ASSUME Slow \in Nat \ {0} /\ Fast >= Slow /\ S >= 1 /\ L >= 1 /\ InFlight >= 1

\* "crash", "loss" (of a request), "lag" (of reads), "touch" (of labels), "delete",
\* "stop", "step down", "end" (of the work), "driver" (an exception in the engine);
\* "proof" (of an end: no fault, but an option), "lie" (a proof of one who lives),
\* "deaf" (a holder that lives need not answer a challenge).
May(fault) == fault \in Faults /\ ~calm

---------------------------------------------------------------------------
\* A candidate.

States == {"stopped", "looking", "waiting", "challenging", "contending", "acquiring",
           "leader", "draining", "releasing", "fenced", "withdrawing", "standing by"}

Fresh ==
  [ state   |-> "stopped",
    working |-> FALSE,      \* work of a term runs
    left    |-> 0,          \* own time until the deadline of the term
    over    |-> 0,          \* ticks that work has gone on after the deadline
    what    |-> "nothing",  \* last sight: nothing, missing, gone, free, held
    behind  |-> Past,       \* how far that snapshot is behind the Lease
    wait    |-> 0,          \* own time until the record seen has expired
    asks    |-> FALSE,      \* an outcome is unknown or a conflict: GET first
    own     |-> FALSE,      \* the Lease was deleted as its term had written it
    mine    |-> FALSE ]     \* the stored record bears a stamp of this process

Holding == {"leader", "draining"}

\* Sights after which a missing Lease is a deleted one.
Sights == {"held", "free", "gone"}

\* Rule 15: belief is computed from the clock, whatever the engine noticed.
Believes(n) == me[n].state = "leader" /\ me[n].left > 0

\* Without a hold on the Lease and without a write under way.
Following == {"looking", "waiting", "challenging", "contending", "standing by"}

\* A record's time runs on the clock of whoever follows it.
Watching == Following \cup {"fenced", "withdrawing"}

---------------------------------------------------------------------------
\* Writes.  A try is one PUT:
\*   kind  acquire, renew or release
\*   mode  update (with resourceVersion and uid); create (without), as first
\*         (never saw it held), waited (it was held, then missing in full) or
\*         again (it was deleted under its own term)
\*   at    flying, landed, or dead (refused or dropped: never lands)
\*   ver   how far behind it is: the version it was based on, then made
\*   left  what is left of the deadline counted from its sending
\*   who   awaited, unknown (given up, but remembered), forgotten (its term or
\*         attempt is over), orphan (its process has died)

Tries == [ kind : {"acquire", "renew", "release"},
           mode : {"update", "first", "waited", "again"},
           at   : {"flying", "landed", "dead"},
           ver  : {Current, Touched, Past},
           left : 0..(L + Slow),
           who  : {"awaited", "unknown", "forgotten", "orphan"} ]

\* The whole of the server's part: compare, then write.
Accepts(t) ==
  IF t.mode # "update" THEN ~lease.there
  ELSE IF lease.there THEN t.ver = Current \/ Bug = "no resourceVersion"
       ELSE Bug = "no uid"

MatterStill(t) ==
  CASE t.at = "flying" -> TRUE
    [] t.at = "landed" -> \/ t.who = "awaited"
                          \/ t.who = "unknown" /\ t.ver # Past
    [] t.at = "dead"   -> t.who = "awaited"

Tidy(ts) == {t \in ts : MatterStill(t)}

\* Nothing but a defect could let an update land whose base is not current.
Hopeless(t) == /\ t.at = "flying" /\ t.mode = "update" /\ t.ver # Current
               /\ Bug \notin {"no resourceVersion", "no uid"}

Aged(ts, Age(_)) ==
  Tidy({ LET u == [t EXCEPT !.ver = Age(@)]
         IN IF Hopeless(u) THEN [u EXCEPT !.at = "dead"] ELSE u : t \in ts })

ByWrite(ver) == Past
ByTouch(ver) == IF ver = Current THEN Touched ELSE ver

Remember(ts) == Tidy({[t EXCEPT !.who = IF @ = "awaited" THEN "unknown" ELSE @] : t \in ts})
Forget(ts) == Tidy({[t EXCEPT !.who = IF @ = "orphan" THEN @ ELSE "forgotten",
                              !.left = 0] : t \in ts})
Orphan(ts) == Tidy({[t EXCEPT !.who = "orphan", !.left = 0] : t \in ts})

Awaited(n) == {t \in tries[n] : t.who = "awaited"}

\* The try whose stamp the stored record bears.
Proof(n) == {t \in tries[n] : t.at = "landed" /\ t.ver # Past /\ t.who \in {"awaited", "unknown"}}

CanSend(n) == Awaited(n) = {} /\ ~me[n].asks /\ Cardinality(tries[n]) < InFlight

Send(n, kind, mode) ==
  LET t == [ kind |-> kind, mode |-> mode, at |-> "flying", ver |-> me[n].behind,
             \* G2: counted from before the first byte is sent.
             left |-> IF kind = "release" THEN 0 ELSE Deadline(n),
             who |-> "awaited" ]
  IN tries' = [tries EXCEPT ![n] =
                 @ \cup {IF Hopeless(t) THEN [t EXCEPT !.at = "dead"] ELSE t}]

---------------------------------------------------------------------------
\* Steps of a candidate, named for the facts of the table.

Unmoved == UNCHANGED <<lease, calm, ghost>>

Become(n, state) == me' = [me EXCEPT ![n].state = state]

\* The end of a term, an attempt or a release leads to one of these.
Afterwards == {"looking"} \cup (IF May("stop") THEN {"stopped"} ELSE {})
                          \cup (IF May("step down") THEN {"standing by"} ELSE {})

\* A process forgets what it saw when it stops, but not that it saw a Lease (rule 4).
Leave(n, state) ==
  LET keeps == state # "stopped" /\ me[n].state \in Watching
  IN /\ me' = [me EXCEPT ![n] =
          [Fresh EXCEPT
             !.state = state,
             !.mine = me[n].mine,
             !.own = me[n].own /\ state = "looking",
             !.what = IF keeps THEN me[n].what
                      ELSE IF me[n].what \in Sights THEN "held" ELSE "nothing",
             !.behind = IF keeps THEN me[n].behind ELSE Past,
             !.wait = IF keeps THEN me[n].wait ELSE 0]]
     \* Stamps of a term that is over prove nothing; those of an attempt may.
     /\ tries' = [tries EXCEPT ![n] =
          IF state # "stopped" /\ me[n].state = "withdrawing"
          THEN Remember(@) ELSE Forget(@)]

LeaveSomewhere(n) == \E state \in Afterwards : Leave(n, state)

StartAsked(n) ==
  /\ me[n].state = "stopped"
  /\ Become(n, "looking") /\ UNCHANGED tries /\ Unmoved

StopAsked(n) ==
  /\ May("stop") /\ Unmoved
  /\ \/ me[n].state \in Following /\ Leave(n, "stopped")
     \/ me[n].state = "acquiring" /\ Become(n, "withdrawing") /\ UNCHANGED tries
     \/ me[n].state = "leader" /\ Become(n, "draining") /\ UNCHANGED tries

StepDownAsked(n) ==
  /\ May("step down") /\ Unmoved /\ UNCHANGED tries
  /\ \/ /\ me[n].state \in Following \ {"standing by"}
        /\ me' = [me EXCEPT ![n].state = "standing by", ![n].own = FALSE]
     \/ me[n].state = "acquiring" /\ Become(n, "withdrawing")
     \/ me[n].state = "leader" /\ Become(n, "draining")

EndAsked(n) ==
  /\ May("end") /\ me[n].state = "leader"
  /\ Become(n, "draining") /\ UNCHANGED tries /\ Unmoved

MayContend(n) ==
  /\ me[n].state = "standing by"
  /\ Become(n, "looking") /\ UNCHANGED tries /\ Unmoved

Fence(n) ==
  /\ me' = [me EXCEPT ![n].state = "fenced", ![n].left = 0, ![n].asks = FALSE,
                      ![n].own = FALSE, ![n].behind = Past]  \* it is looked at anew
  /\ tries' = [tries EXCEPT ![n] = Forget(@)]

\* Rule 4: the watch shows that the Lease was deleted as this term had written it.
FenceOfDeleted(n) ==
  /\ me[n].state = "leader" /\ me[n].own
  /\ me' = [me EXCEPT ![n].state = "fenced", ![n].left = 0, ![n].asks = FALSE,
                      ![n].what = "gone", ![n].behind = Current,
                      ![n].wait = Duration(n)]
  /\ tries' = [tries EXCEPT ![n] = Forget(@)]

DriverFailed(n) ==
  /\ May("driver") /\ Unmoved
  /\ \/ /\ me[n].state \in Following \ {"standing by"}
        /\ me' = [me EXCEPT ![n].state = "looking", ![n].own = FALSE]
        /\ UNCHANGED tries
     \/ /\ me[n].state = "acquiring"
        /\ me' = [me EXCEPT ![n].state = "looking", ![n].asks = FALSE]
        /\ tries' = [tries EXCEPT ![n] = Remember(@)]
     \/ me[n].state \in Holding /\ Fence(n)
     \/ me[n].state \in {"releasing", "withdrawing"} /\ LeaveSomewhere(n)

WorkEnded(n) ==
  /\ me[n].working /\ Unmoved
  /\ \/ /\ me[n].state = "draining"
        /\ me' = [me EXCEPT ![n].state = "releasing", ![n].working = FALSE,
                            ![n].left = 0, ![n].over = 0]
        /\ UNCHANGED tries
     \/ me[n].state = "fenced" /\ LeaveSomewhere(n)

DeadlinePassed(n) ==
  /\ me[n].state \in Holding /\ me[n].left = 0
  /\ Fence(n) /\ Unmoved

\* A sight of the Lease, by GET or by watch: the facts held by another, free and
\* expired. While acquiring only when it is neither as before nor as we wrote it.
Observe(n) ==
  LET m == me[n]
      same == m.what # "nothing" /\ m.behind # Past
      gone == ~lease.there /\ m.what \in Sights
      held == lease.there /\ lease.holder # Nobody
      what == IF gone THEN "gone" ELSE IF ~lease.there THEN "missing"
              ELSE IF held THEN "held" ELSE "free"
      \* Rule 5: a record with a stamp of this process, whose work has ended.
      open == what \in {"missing", "free"} \/ (held /\ m.mine)
      full == IF open THEN 0
              ELSE IF gone \/ Bug = "own duration instead of the holder's"
                   THEN Duration(n) ELSE Duration(lease.holder)
      wait == IF same \/ (m.what = "held" /\ held /\ Bug = "timer not restarted")
              THEN m.wait
              ELSE IF gone /\ Bug = "missing is free" THEN 0 ELSE full
      asks == m.state = "challenging" /\ what = "held"
      next == IF m.state \in {"standing by", "fenced", "withdrawing"} THEN m.state
              ELSE IF asks /\ wait > 0 /\ Bug = "an answered challenge ignored" THEN m.state
              ELSE IF asks /\ wait > 0 /\ same /\ ~open THEN m.state
              ELSE IF open \/ (wait = 0 /\ Bug # "expiry never noticed")
                   THEN "contending" ELSE "waiting"
  IN /\ \/ m.state \in Following
        \/ m.state = "fenced"
        \/ m.state \in {"acquiring", "withdrawing"} /\ m.behind = Past /\ Proof(n) = {}
     /\ me' = [me EXCEPT ![n].state = next, ![n].what = what, ![n].wait = wait,
                         ![n].behind = Current, ![n].asks = FALSE, ![n].own = FALSE]
     /\ tries' = IF m.state = "acquiring" THEN [tries EXCEPT ![n] = Remember(@)]
                 ELSE tries
     /\ Unmoved

\* A lagging watch or server shows some record of the past. A candidate cannot tell;
\* for a leader it is older than its own last write and proves nothing (rule 11).
LateSight(n) ==
  LET m == me[n]
  IN \E what \in {IF m.what \in Sights THEN "gone" ELSE "missing", "free", "held"} :
       /\ May("lag") /\ m.state \in Following
       /\ me' = [me EXCEPT
            ![n].state = IF m.state = "standing by" THEN @
                         ELSE IF what \in {"missing", "free"} THEN "contending"
                         ELSE "waiting",
            ![n].what = what, ![n].behind = Past, ![n].own = FALSE,
            ![n].wait = IF what \in {"missing", "free"} THEN 0 ELSE Duration(n)]
       /\ UNCHANGED tries /\ Unmoved

\* Rule 1: the record stood still for its own duration on our clock.
Expired(n) ==
  /\ me[n].state \in {"waiting", "challenging"} /\ me[n].wait = 0
  /\ Bug # "expiry never noticed"
  /\ Become(n, "contending") /\ UNCHANGED tries /\ Unmoved

\* The process has died that wrote the record which stands there.
Dead(h) == ~me[h].mine

\* Rule 18: the pod of the holder proves its end, by the note that a renewal carried;
\* or it lies.
EndProved(n) ==
  /\ "proof" \in Faults /\ me[n].state = "waiting" /\ me[n].what = "held"
  /\ me[n].behind # Past /\ lease.there /\ lease.holder # Nobody /\ lease.noted
  /\ Dead(lease.holder) \/ May("lie") \/ Bug = "note of another process"
  /\ Become(n, IF Bug = "no challenge" THEN "contending" ELSE "challenging")
  /\ UNCHANGED tries /\ Unmoved

\* Rule 19: one annotation: another version, the same record.
Ask(n) ==
  /\ me[n].state = "challenging" /\ me[n].behind = Current /\ ~lease.asked
  /\ lease' = [lease EXCEPT !.asked = TRUE]
  /\ me' = [x \in Node |-> IF x = n THEN me[x] ELSE [me[x] EXCEPT !.behind = ByTouch(@)]]
  /\ tries' = [x \in Node |-> Aged(tries[x], ByTouch)]
  /\ UNCHANGED <<calm, ghost>>

\* The time for an answer is over. Assumed, not shown: a holder at work that lives and
\* hears has renewed by then, which `deaf` takes away.
Unanswered(n) ==
  /\ me[n].state = "challenging" /\ me[n].behind = Current
  /\ \/ /\ lease.asked
        /\ Dead(lease.holder) \/ ~me[lease.holder].working \/ "deaf" \in Faults
     \/ Bug = "an answered challenge ignored"
  /\ Become(n, "contending") /\ UNCHANGED tries /\ Unmoved

\* Rule 4: what was deleted under its own term is nobody else's.
Recreates(n) ==
  /\ me[n].state = "looking" /\ me[n].own
  /\ Become(n, "contending") /\ UNCHANGED tries /\ Unmoved

DelayOver(n) ==
  /\ me[n].state = "contending" /\ CanSend(n)
  /\ me' = [me EXCEPT ![n].state = "acquiring", ![n].own = FALSE]
  /\ Send(n, "acquire", CASE me[n].own               -> "again"
                          [] me[n].what = "missing" -> "first"
                          [] me[n].what = "gone"    -> "waited"
                          [] OTHER                  -> "update")
  /\ Unmoved

\* After an acquire that did not land: one try is all that rule 4 gives.
Onward(n) == IF me[n].what = "gone" /\ me[n].wait > 0 THEN "waiting" ELSE "contending"

\* Rule 11: a renewal is sent while the term lasts, and never after.
Renew(n) ==
  /\ \/ me[n].state \in Holding /\ me[n].left > 0
     \/ Bug = "renewal after loss" /\ me[n].state = "fenced"
  /\ CanSend(n)
  /\ Send(n, "renew", "update")
  /\ UNCHANGED me /\ Unmoved

Release(n) ==
  /\ \/ me[n].state = "releasing"
     \/ Bug = "release before the work ended" /\ me[n].state = "draining"
  /\ CanSend(n)
  /\ Send(n, "release", "update")
  /\ UNCHANGED me /\ Unmoved

ReleaseGivenUp(n) ==
  /\ me[n].state = "releasing"
  /\ LeaveSomewhere(n) /\ Unmoved

---------------------------------------------------------------------------
\* What a candidate concludes when it learns that its try `t` was applied; `ver`
\* is how far the snapshot that tells it is behind.

Grown(n, t) == IF Bug = "deadline counted from the answer" THEN Deadline(n) ELSE t.left

\* Tries that were sent later than the one that is proved stay with the term; a
\* create among them does not, for what it makes is another Lease.
AcquireProved(n, t, ver) ==
  /\ Grown(n, t) > 0
  /\ me' = [me EXCEPT ![n] =
       [@ EXCEPT !.state = "leader", !.working = TRUE, !.left = Grown(n, t), !.over = 0,
                 !.what = "held", !.behind = ver, !.wait = 0, !.asks = FALSE]]
  /\ LET later == {u \in tries[n] \ {t} : u.mode = "update" /\ u.left >= t.left}
     IN tries' = [tries EXCEPT ![n] = later \cup Forget((@ \ {t}) \ later)]

\* Too late to lead by it: a record of our own, free to us (rule 5).
AcquireTooLate(n, t, ver) ==
  /\ Grown(n, t) = 0
  /\ me' = [me EXCEPT ![n] =
       [@ EXCEPT !.state = "contending", !.what = "held", !.behind = ver, !.wait = 0,
                 !.asks = FALSE]]
  /\ tries' = [tries EXCEPT ![n] = Remember(@ \ {t})]

\* G4: a deadline that has passed latches; what comes after it revives nothing.
Renewed(n, t, ver) ==
  LET good == me[n].left > 0 \/ Bug = "a term revives"
  IN /\ me' = [me EXCEPT ![n] =
          [@ EXCEPT !.left = IF good THEN Grown(n, t) ELSE 0,
                    !.over = IF good THEN 0 ELSE @,
                    !.behind = ver, !.asks = FALSE]]
     /\ tries' = [tries EXCEPT ![n] = Remember(@ \ {t})]

\* An acquire landed although the candidate was told to stop: give it back.
WithdrawProved(n, t, ver) ==
  /\ me' = [me EXCEPT ![n] =
       [@ EXCEPT !.state = "releasing", !.what = "held", !.behind = ver, !.wait = 0,
                 !.asks = FALSE]]
  /\ tries' = [tries EXCEPT ![n] = Remember(@ \ {t})]

ReleaseOver(n, t) == t.kind = "release" /\ LeaveSomewhere(n)

StillToRelease(n, t, ver) ==
  /\ t.kind # "release"
  /\ me' = [me EXCEPT ![n].behind = ver, ![n].asks = FALSE]
  /\ tries' = [tries EXCEPT ![n] = Remember(@ \ {t})]

Applied(n, t, ver) ==
  \/ me[n].state = "acquiring" /\ AcquireProved(n, t, ver)
  \/ me[n].state = "acquiring" /\ AcquireTooLate(n, t, ver)
  \/ me[n].state \in Holding /\ t.kind # "release" /\ Renewed(n, t, ver)
  \/ me[n].state = "releasing" /\ ReleaseOver(n, t)
  \/ me[n].state = "releasing" /\ StillToRelease(n, t, ver)
  \/ me[n].state = "withdrawing" /\ WithdrawProved(n, t, ver)

\* The answer of an applied write arrives.
Answered(n) ==
  \E t \in Awaited(n) : t.at = "landed" /\ Applied(n, t, t.ver) /\ Unmoved

\* GET or watch shows our stamp (rules 10 and 11).
ProofSeen(n) ==
  \E t \in Proof(n) : Applied(n, t, Current) /\ Unmoved

\* Rule 10: unknown and conflict both mean GET and look for our stamp.
Unsure(n, t) ==
  IF Bug = "unknown taken as done" /\ me[n].state \in Holding
  THEN /\ me' = [me EXCEPT ![n].left = IF @ > 0 THEN t.left ELSE 0]
       /\ tries' = [tries EXCEPT ![n] = @ \ {t}]
  ELSE /\ me' = [me EXCEPT ![n].asks = TRUE]
       /\ tries' = [tries EXCEPT ![n] = Remember(@)]

\* A conflict, or word that nothing was applied, or the time-out of a lost request.
Refused(n) ==
  \E t \in Awaited(n) : t.at = "dead" /\ Unsure(n, t) /\ Unmoved

\* The same, when it is certain: not sent, forbidden, throttled.
NotApplied(n) ==
  \E t \in Awaited(n) :
    /\ t.at = "dead"
    /\ tries' = [tries EXCEPT ![n] = @ \ {t}]
    /\ me' = IF me[n].state = "acquiring"
             THEN [me EXCEPT ![n].state = Onward(n)] ELSE me
    /\ Unmoved

\* A time-out while the request or its answer is still on its way, or for ever lost.
TimedOut(n) ==
  \E t \in Awaited(n) : t.at # "dead" /\ ~calm /\ Unsure(n, t) /\ Unmoved

\* The record is as it was before our try: the snapshot just read is good for another.
AsBefore(n) ==
  /\ me[n].behind # Past /\ Unmoved /\ UNCHANGED tries
  /\ \/ /\ me[n].state \in Holding \cup {"releasing"}
        /\ me' = [me EXCEPT ![n].behind = Current, ![n].asks = FALSE]
     \/ /\ me[n].state = "acquiring" /\ me[n].asks
        /\ me' = [me EXCEPT ![n].state = Onward(n), ![n].behind = Current,
                            ![n].asks = FALSE]

\* The record is neither as we know it nor as we wrote it, or is gone.
LossSeen(n) ==
  /\ me[n].behind = Past /\ Proof(n) = {} /\ Unmoved
  /\ \/ me[n].state \in Holding /\ Fence(n)
     \/ FenceOfDeleted(n)
     \/ me[n].state = "releasing" /\ LeaveSomewhere(n)

\* Nothing landed, or it was not found out in time.
Withdrawn(n) ==
  /\ me[n].state = "withdrawing"
  /\ LeaveSomewhere(n) /\ Unmoved

\* Only defects do these.
Defects(n) ==
  \/ /\ Bug = "own identity taken as proof" /\ me[n].state \in Following
     /\ lease.holder = n /\ ~me[n].mine
     /\ me' = [me EXCEPT ![n] =
          [@ EXCEPT !.state = "leader", !.working = TRUE, !.left = Deadline(n),
                    !.what = "held", !.behind = Current, !.wait = 0]]
     /\ UNCHANGED tries /\ Unmoved
  \/ /\ Bug = "new term before the old work ended" /\ me[n].state = "fenced"
     /\ me' = [me EXCEPT ![n].state = "looking"]
     /\ UNCHANGED tries /\ Unmoved

---------------------------------------------------------------------------
\* Steps of the server, the network, the outside world and time.

\* A request reaches the server and is applied, however late.
Land(n) ==
  \E t \in tries[n] :
    LET holder == IF t.kind = "release" THEN Nobody ELSE n
        \* Rule 4 lets a process without history create at once, and a create
        \* has no precondition: after a deletion neither is covered by G1.
        uncovered == /\ "delete" \in Faults /\ t.mode # "update"
                     /\ t.mode = "first" \/ t.ver = Past
    IN /\ t.at = "flying" /\ Accepts(t)
       /\ lease' = [there |-> TRUE, holder |-> holder, asked |-> FALSE,
                    noted |-> /\ "proof" \in Faults
                              /\ \/ t.kind = "renew"
                                 \/ t.kind = "acquire" /\ Bug = "note in the acquire"]
       /\ me' = [x \in Node |->
            [me[x] EXCEPT !.behind = Past,
                          !.own = @ /\ me[x].state # "leader",
                          !.mine = (holder = x /\ t.who # "orphan")]]
       /\ tries' = [x \in Node |->
            IF x = n
            THEN Tidy({[t EXCEPT !.at = "landed", !.ver = Current]})
                 \cup Aged(tries[x] \ {t}, ByWrite)
            ELSE Aged(tries[x], ByWrite)]
       /\ ghost' = [ghost EXCEPT
            !.stood = 0,
            !.excuse = IF uncovered THEN LongestWindow ELSE @,
            !.newest = IF t.kind = "acquire" THEN n ELSE @]
       /\ UNCHANGED calm

\* A request is refused by the server, or is dropped before it.
Die(n) ==
  \E t \in tries[n] :
    /\ t.at = "flying" /\ (~Accepts(t) \/ May("loss"))
    /\ tries' = [tries EXCEPT ![n] = (@ \ {t}) \cup Tidy({[t EXCEPT !.at = "dead"]})]
    /\ UNCHANGED <<lease, me, calm, ghost>>

\* Somebody changes labels: a new version, the same record.
Touch ==
  /\ May("touch") /\ lease.there
  /\ me' = [x \in Node |-> [me[x] EXCEPT !.behind = ByTouch(@)]]
  /\ tries' = [x \in Node |-> Aged(tries[x], ByTouch)]
  /\ UNCHANGED <<lease, calm, ghost>>

Delete ==
  /\ May("delete") /\ lease.there
  /\ lease' = Missing
  /\ me' = [x \in Node |->
       [me[x] EXCEPT !.behind = Past, !.mine = FALSE,
                     !.own = @ \/ (me[x].mine /\ me[x].state = "leader")]]
  /\ tries' = [x \in Node |-> Aged(tries[x], ByWrite)]
  /\ ghost' = [ghost EXCEPT !.stood = 0]
  /\ UNCHANGED calm

\* The process dies, with its work; what it has sent may still land.
Crash(n) ==
  /\ May("crash") /\ me[n] # Fresh
  /\ me' = [me EXCEPT ![n] = Fresh]
  /\ tries' = [tries EXCEPT ![n] = Orphan(@)]
  /\ Unmoved

\* Work stops within S ticks of the deadline: assumed, not shown.
WorkObeys(n) == me[n].working /\ me[n].left = 0 => me[n].over + 1 < S

Elapse(m, rate) ==
  [m EXCEPT !.left = Minus(@, rate),
            !.over = IF m.working /\ m.left = 0 THEN @ + 1 ELSE @,
            !.wait = IF m.state \in Watching THEN Minus(@, rate) ELSE @]

Tick ==
  /\ \A n \in Node : WorkObeys(n)
  \* When nothing fails, answers come sooner than deadlines pass.
  /\ calm => \A n \in Node : Awaited(n) = {}
  /\ \E quick \in SUBSET Node :
       LET Rate(n) == IF n \in quick THEN Fast ELSE Slow
       IN /\ me' = [n \in Node |-> Elapse(me[n], Rate(n))]
          /\ tries' = [n \in Node |->
               Tidy({[t EXCEPT !.left = Minus(@, Rate(n))] : t \in tries[n]})]
  /\ ghost' = [ghost EXCEPT
       !.stood = Least(@ + 1, LongestQuiet),
       !.excuse = Minus(@, 1),
       \* Whoever has nothing landed left to be proved needs a new acquire first.
       !.newest = IF @ # Nobody /\ \E t \in tries[@] : t.at = "landed" /\ t.kind = "acquire"
                  THEN @ ELSE Nobody]
  /\ UNCHANGED <<lease, calm>>

FaultsStop ==
  /\ Calming /\ ~calm /\ calm' = TRUE
  /\ UNCHANGED <<lease, me, tries, ghost>>

---------------------------------------------------------------------------

Init ==
  /\ lease = Missing
  /\ me = [n \in Node |-> Fresh]
  /\ tries = [n \in Node |-> {}]
  /\ calm = FALSE
  /\ ghost = [stood |-> LongestQuiet, excuse |-> 0, newest |-> Nobody]

Steps(n) ==
  \/ StartAsked(n) \/ StopAsked(n) \/ StepDownAsked(n) \/ EndAsked(n) \/ MayContend(n)
  \/ DriverFailed(n) \/ WorkEnded(n) \/ DeadlinePassed(n)
  \/ Observe(n) \/ LateSight(n) \/ Expired(n) \/ Recreates(n) \/ DelayOver(n)
  \/ EndProved(n) \/ Ask(n) \/ Unanswered(n)
  \/ Renew(n) \/ Release(n) \/ ReleaseGivenUp(n)
  \/ Answered(n) \/ Refused(n) \/ NotApplied(n) \/ TimedOut(n)
  \/ ProofSeen(n) \/ AsBefore(n) \/ LossSeen(n) \/ Withdrawn(n)
  \/ Defects(n) \/ Land(n) \/ Die(n) \/ Crash(n)

Next == (\E n \in Node : Steps(n)) \/ Touch \/ Delete \/ Tick \/ FaultsStop

Spec == Init /\ [][Next]_vars

---------------------------------------------------------------------------
\* What must hold.

TypeOK ==
  /\ lease \in [there : BOOLEAN, holder : Node \cup {Nobody}, noted : BOOLEAN,
                asked : BOOLEAN]
  /\ ~lease.there => lease = Missing
  /\ calm \in BOOLEAN
  /\ \A n \in Node :
       /\ me[n].state \in States /\ me[n].left \in 0..(L + Slow)
       /\ me[n].over \in 0..S /\ me[n].wait \in 0..(D + Fast)
       /\ me[n].what \in {"nothing", "missing", "gone", "free", "held"}
       /\ me[n].behind \in {Current, Touched, Past}
       /\ tries[n] \subseteq Tries /\ Cardinality(tries[n]) <= InFlight
       /\ Cardinality(Awaited(n)) <= 1 /\ Cardinality(Proof(n)) <= 1

\* G1: at any instant at most one believes.
ExclusiveBelief ==
  ghost.excuse = 0 => \A x, y \in Node : Believes(x) /\ Believes(y) => x = y

\* G2: the work of one ends before the work of another starts.
WorkAlone ==
  ghost.excuse = 0 => \A x, y \in Node : me[x].working /\ me[y].working => x = y

\* G5: whatever the server would apply now is justified now.
Justified(n, t) ==
  CASE t.kind = "acquire" ->
         \/ /\ ~lease.there
            /\ t.mode = "waited" /\ t.ver # Past => ghost.stood >= Quiet(n)
         \/ lease.there /\ lease.holder = Nobody
         \/ lease.holder = n /\ (me[n].mine \/ t.who = "orphan")
         \/ lease.holder # Nobody /\ ghost.stood >= Quiet(lease.holder)
         \* It was asked, and has died or has no work: rule 19.
         \/ /\ lease.holder # Nobody /\ lease.asked
            /\ Dead(lease.holder) \/ ~me[lease.holder].working
    [] t.kind = "renew" -> lease.holder = n
    [] t.kind = "release" -> lease.holder = n /\ ~me[n].working

NoClobber ==
  \A n \in Node : \A t \in tries[n] :
    t.at = "flying" /\ Accepts(t) => Justified(n, t)

\* Rule 11 and G5: nobody outside a term renews, nobody at work releases.
Silence ==
  \A n \in Node : \A t \in Awaited(n) :
    /\ t.kind = "renew" => me[n].state \in Holding \cup {"releasing"}
    /\ t.kind = "release" => me[n].state = "releasing" /\ ~me[n].working

\* G3: when a term begins, its acquiring write is the last that was applied; so
\* its token is greater than that of every term that began before it.
GrowingTokens ==
  [][\A n \in Node :
       ~Believes(n) /\ Believes(n)' => ghost.excuse > 0 \/ ghost.newest = n]_vars

\* G4: belief begins with a new term and no other way, with no work of an older
\* one left; and the end of a term is an end.
OneStartOneStop ==
  [][\A n \in Node :
       /\ ~Believes(n) /\ Believes(n)' => me[n].state = "acquiring" /\ ~me[n].working
       /\ me[n].state = "leader" /\ me'[n].state # "leader"
            => me'[n].state \in {"draining", "fenced", "stopped"}
       /\ ~me[n].working /\ me'[n].working => me'[n].state = "leader"]_vars

\* The model moves as the table of the code does; a crash is outside the table.
MovesAsTheTable ==
  [][\A n \in Node :
       \/ me'[n].state = me[n].state
       \/ <<me[n].state, me'[n].state>> \in Moves
       \/ me'[n] = Fresh]_vars

---------------------------------------------------------------------------
\* Progress: once faults have stopped, somebody leads, again and again.

Fairness ==
  /\ WF_vars(FaultsStop) /\ WF_vars(Tick)
  /\ \A n \in Node :
       /\ WF_vars(StartAsked(n)) /\ WF_vars(MayContend(n)) /\ WF_vars(WorkEnded(n))
       /\ WF_vars(DeadlinePassed(n)) /\ WF_vars(Observe(n)) /\ WF_vars(DelayOver(n))
       /\ WF_vars(Land(n)) /\ WF_vars(Die(n))
       /\ WF_vars(Answered(n) \/ Refused(n))
       /\ WF_vars(ProofSeen(n) \/ AsBefore(n) \/ LossSeen(n) \/ Withdrawn(n))
       /\ WF_vars(ReleaseGivenUp(n))

FairSpec == Spec /\ Fairness

SomebodyLeads == \E n \in Node : Believes(n)
Progress == calm ~> SomebodyLeads
=============================================================================
