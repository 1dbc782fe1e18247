/* Model of ext/command_ring.hpp, one statement per atomic access. Checked exhaustively by test_rings_model.py.
 *
 * What the memory orders allow is modelled as freedom of order: the two words of a record are stored, and loaded, in
 * either order, but all of them before the release store that follows and after the acquire load before it. Each BROKEN
 * variant takes away one of these limits, or one check, and has to be caught:
 *   1 the sequence number is stored without release: a word may follow it
 *   2 the slot is given back without release: a word may be loaded after it
 *   3 fullness is off by one
 *   4 the consumer does not compare the sequence number
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
#if BROKEN == 3
#define FULL (CAP + 1)
#else
#define FULL CAP
#endif

byte word_a[CAP], word_b[CAP];  /* Slot::record */
byte sequence[CAP];             /* Slot::sequence */
byte head = FIRST;              /* head_ */

byte pushed, popped;            /* what the proof is about: not in the header */

proctype producer()
{
    byte position = FIRST, known_head = FIRST;  /* tail_ (for size() only), known_head_ */
    byte seen;                                  /* popped when head was last loaded */
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
            :: word_a[slot] = pushed; sequence[slot] = NEXT(position); word_b[slot] = pushed
            :: word_a[slot] = pushed; word_b[slot] = pushed; sequence[slot] = NEXT(position)
            fi;
#else
            if                                               /* copy(target.record, &record) */
            :: word_a[slot] = pushed; word_b[slot] = pushed
            :: word_b[slot] = pushed; word_a[slot] = pushed
            fi;
            sequence[slot] = NEXT(position);                 /* sequence.store(position + 1, release) */
#endif
            d_step { position = NEXT(position); pushed++ }
        fi
    :: else -> break
    od
}

proctype consumer()
{
    byte position = FIRST;  /* head_, which only this side stores */
    byte slot, a, b;

    do
    :: popped < N ->
        slot = position % CAP;
        if
#if BROKEN != 4
        :: sequence[slot] != NEXT(position)                  /* sequence.load(acquire): empty, the caller tries again */
#endif
        :: (BROKEN == 4 || sequence[slot] == NEXT(position)) ->
#if BROKEN == 2
            if
            :: a = word_a[slot]; head = NEXT(position); b = word_b[slot]
            :: a = word_a[slot]; b = word_b[slot]; head = NEXT(position)
            fi;
            assert(a == popped && b == popped);
            popped++;
#else
            if                                               /* copy(&record, source.record) */
            :: a = word_a[slot]; b = word_b[slot]
            :: b = word_b[slot]; a = word_a[slot]
            fi;
            assert(a == popped && b == popped);              /* whole, in order, none twice, none missing */
            d_step { head = NEXT(position); popped++ }       /* head_.store(position + 1, release) */
#endif
            position = NEXT(position)
        fi
    :: else -> break
    od
}

init { /* the constructor: each slot holds the sequence number of the lap before */
    byte i;
    atomic {
        i = 0;
        do
        :: i < CAP -> sequence[(FIRST + i) % CAP] = (FIRST + i + 1 + MOD - CAP) % MOD; i++
        :: else -> break
        od;
        run producer();
        run consumer()
    }
}
