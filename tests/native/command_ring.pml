/* Model of ext/command_ring.hpp, one statement per atomic access. Checked exhaustively by test_rings_model.py.
 *
 * What the memory orders allow is modelled as freedom of order: the two words of a record are stored, and loaded, in
 * either order, but all of them before the release store that follows and after the acquire load before it. Each BROKEN
 * variant takes away one of these limits, or one check, and has to be caught:
 *   1 the sequence is stored without release: a word may follow it
 *   2 the head is stored without release: a word may be loaded after it
 *   3 the sequence is loaded without acquire: a word may be loaded before it
 *   4 fullness is off by one
 *   5 any sequence counts as filled: empty is not seen
 *   6 slots begin with zeros instead of their positions
 *   7 the tail is stored after the sequence: size() finds the head ahead of it
 *   8 size() loads the tail before the head
 */
#ifndef CAP
#define CAP 2
#endif
#ifndef BROKEN
#define BROKEN 0
#endif
#define MOD 8      /* the counters wrap here, as in the header at 2^32 or 2^64 */
#define FIRST 6    /* so that they do within the run */
#define N 7

#define NEXT(x) ((x + 1) % MOD)
#define WAITING(position, head) ((position + MOD - head) % MOD)
#if BROKEN == 4
#define FULL (CAP + 1)
#else
#define FULL CAP
#endif

byte word_a[CAP], word_b[CAP], sequence[CAP];  /* Slot */
byte tail = FIRST;              /* tail_ */
byte head = FIRST;              /* head_ */

byte pushed, popped;            /* what the proof is about: not in the header */

proctype producer()
{
    byte known_head = FIRST;    /* known_head_ */
    byte position = FIRST;      /* tail_.load(relaxed), which only this side stores */
    byte seen;                  /* popped when head was last loaded */
    byte slot;

    do
    :: pushed < N ->
        if
        :: WAITING(position, known_head) == FULL ->
            d_step { known_head = head; seen = popped }      /* head_.load(acquire) */
        :: else
        fi;
        if
        :: WAITING(position, known_head) == FULL ->
            assert(pushed - seen == CAP)                     /* refused only when it was full; the caller tries again */
        :: else ->
            slot = position % CAP;
            assert(pushed - popped < CAP);                   /* nothing that is still wanted is overwritten */
#if BROKEN == 1
            if
            :: word_a[slot] = pushed; tail = NEXT(tail); sequence[slot] = NEXT(position); word_b[slot] = pushed
            :: word_a[slot] = pushed; word_b[slot] = pushed; tail = NEXT(tail); sequence[slot] = NEXT(position)
            fi;
            d_step { position = NEXT(position); pushed++ }
#else
            if                                               /* copy(slot.record, &record) */
            :: word_a[slot] = pushed; word_b[slot] = pushed
            :: word_b[slot] = pushed; word_a[slot] = pushed
#if BROKEN != 7
            :: tail = NEXT(position); word_a[slot] = pushed; word_b[slot] = pushed  /* tail_ is stored relaxed */
            :: word_b[slot] = pushed; tail = NEXT(position); word_a[slot] = pushed
#endif
            fi;
#if BROKEN != 7
            tail = NEXT(position);                           /* tail_.store(position + 1, relaxed) */
#endif
            d_step { sequence[slot] = NEXT(position); pushed++ };  /* sequence.store(position + 1, release) */
#if BROKEN == 7
            tail = NEXT(position);
#endif
            position = NEXT(position)
#endif
        fi
    :: else -> break
    od
}

proctype consumer()
{
    byte slot, a, b;
#if BROKEN == 3
    bool early;
#endif

    do
    :: popped < N ->
        slot = head % CAP;
#if BROKEN == 3
        early = false;
        if
        :: a = word_a[slot]; early = true
        :: true
        fi;
#endif
        if
#if BROKEN == 5
        :: true ->
#else
        :: sequence[slot] == NEXT(head) ->                   /* sequence.load(acquire) */
#endif
#if BROKEN == 2
            if
            :: a = word_a[slot]; head = NEXT(head); b = word_b[slot]
            :: a = word_a[slot]; b = word_b[slot]; head = NEXT(head)
            fi;
            assert(a == popped && b == popped);
            popped++
#else
            if                                               /* copy(&record, slot.record) */
#if BROKEN == 3
            :: early -> b = word_b[slot]
#endif
            :: a = word_a[slot]; b = word_b[slot]
            :: b = word_b[slot]; a = word_a[slot]
            fi;
            assert(a == popped && b == popped);              /* whole, in order, none twice, none missing */
            d_step { head = NEXT(head); popped++ }           /* head_.store(position + 1, release) */
#endif
        :: else                                              /* empty, the caller tries again */
        fi
    :: else -> break
    od
}

/* size() of any thread, at any time. The head and what was published before it come in order; whatever is pushed and
 * popped in between only makes the difference larger, which size() cuts at Capacity. */
proctype observer()
{
    byte first, second, gave, had;
#if BROKEN == 8
    d_step { second = tail; had = pushed };
    d_step { first = head; gave = popped };
#else
    d_step { first = head; gave = popped };                  /* head_.load(acquire) */
    d_step { second = tail; had = pushed };                  /* tail_.load(relaxed) */
#endif
    assert(had >= gave);                                     /* never a head ahead of its tail */
    assert(WAITING(second, first) == had - gave || WAITING(second, first) == had - gave + 1)
}

init {
    byte i;
    atomic {                                                 /* the constructor */
#if BROKEN != 6
        for (i : 0 .. CAP - 1) { sequence[(FIRST + i) % CAP] = (FIRST + i) % MOD }
#endif
        i = 0;
        run producer();
        run consumer();
        run observer()
    }
}
