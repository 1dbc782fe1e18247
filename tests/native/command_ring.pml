/* Model of ext/command_ring.hpp, one statement per atomic access. Checked exhaustively by test_rings_model.py.
 *
 * What the memory orders allow is modelled as freedom of order: the two words of a record are stored, and loaded, in
 * either order, but all of them before the release store that follows and after the acquire load before it. Each BROKEN
 * variant takes away one of these limits, or one check, and has to be caught:
 *   1 the tail is stored without release: a word may follow it
 *   2 the head is stored without release: a word may be loaded after it
 *   3 the tail is loaded without acquire: a word may be loaded before it
 *   4 fullness is off by one
 *   5 the copy of the tail is taken for the tail after it ran out: empty is not seen
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

byte word_a[CAP], word_b[CAP];  /* Slot::record */
byte tail = FIRST;              /* tail_ */
byte head = FIRST;              /* head_ */

byte pushed, popped;            /* what the proof is about: not in the header */

active proctype producer()
{
    byte known_head = FIRST;    /* known_head_ */
    byte seen;                  /* popped when head was last loaded */
    byte slot;

    do
    :: pushed < N ->
        if
        :: WAITING(tail, known_head) == FULL ->
            d_step { known_head = head; seen = popped }      /* head_.load(acquire) */
        :: else
        fi;
        if
        :: WAITING(tail, known_head) == FULL ->
            assert(pushed - seen == CAP)                     /* refused only when it was full; the caller tries again */
        :: else ->
            slot = tail % CAP;
            assert(pushed - popped < CAP);                   /* nothing that is still wanted is overwritten */
#if BROKEN == 1
            if
            :: word_a[slot] = pushed; tail = NEXT(tail); word_b[slot] = pushed
            :: word_a[slot] = pushed; word_b[slot] = pushed; tail = NEXT(tail)
            fi;
            pushed++
#else
            if                                               /* copy(slot, &record) */
            :: word_a[slot] = pushed; word_b[slot] = pushed
            :: word_b[slot] = pushed; word_a[slot] = pushed
            fi;
            d_step { tail = NEXT(tail); pushed++ }           /* tail_.store(position + 1, release) */
#endif
        fi
    :: else -> break
    od
}

active proctype consumer()
{
    byte known_tail = FIRST;    /* known_tail_ */
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
        :: head == known_tail -> known_tail = NEXT(known_tail)
#else
        :: head == known_tail -> known_tail = tail           /* tail_.load(acquire) */
#endif
        :: else
        fi;
        if
        :: head == known_tail                                /* empty, the caller tries again */
        :: else ->
#if BROKEN == 2
            if
            :: a = word_a[slot]; head = NEXT(head); b = word_b[slot]
            :: a = word_a[slot]; b = word_b[slot]; head = NEXT(head)
            fi;
            assert(a == popped && b == popped);
            popped++
#else
            if                                               /* copy(&record, slot) */
#if BROKEN == 3
            :: early -> b = word_b[slot]
#endif
            :: a = word_a[slot]; b = word_b[slot]
            :: b = word_b[slot]; a = word_a[slot]
            fi;
            assert(a == popped && b == popped);              /* whole, in order, none twice, none missing */
            d_step { head = NEXT(head); popped++ }           /* head_.store(position + 1, release) */
#endif
        fi
    :: else -> break
    od
}
