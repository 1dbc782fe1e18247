/* Model of ext/state_ring.hpp, one statement per atomic access. Checked exhaustively by test_rings_model.py.
 *
 * What the memory orders allow is modelled as freedom of order: the two words of a record are stored, and loaded, in
 * either order, within the limits that the release stores, the acquire loads and the two fences set. Each BROKEN variant
 * takes away one of these limits, or one check, and has to be caught:
 *   1 the sequence is stored without release: a word may follow it
 *   2 the writer's fence is missing: a word may be stored before `opened`
 *   3 the reader's fence is missing: a word may be loaded after `opened`
 *   4 next() does not look at `opened`
 *   5 latest() does not look at `opened`
 *   6 the sequence is loaded without acquire: a word may be loaded before it
 *   7 lost records are counted one short
 *   8 `opened` is stored without release: it may overtake the counter
 *   9 the counter is stored without release: it may overtake the sequence and a word
 *  10 latest() takes a counter that next() was ahead of for a newer one
 *  11 a slot of the lap before is taken for one that was overwritten
 *  12 the reader's second fence is missing: the counter may be loaded before `opened`
 *  13 slots begin with zeros instead of the positions of the lap before
 * Readers may die anywhere, in the middle of a copy too: the writer must not notice.
 */
#ifndef CAP
#define CAP 2
#endif
#ifndef READERS
#define READERS 1
#endif
#ifndef BROKEN
#define BROKEN 0
#endif
#define MOD 16     /* the counters wrap here, as in the header at 2^32 or 2^64 */
#define FIRST 13   /* so that they do within the run */
#ifndef N
#define N 6
#endif

#define AHEAD(a, b) ((a + MOD - b) % MOD)

byte opened[CAP], word_a[CAP], word_b[CAP], sequence[CAP];  /* Slot */
byte written = FIRST;           /* written_ */

byte done;                      /* records written; what the proof is about, not in the header */

inline store_counter() { d_step { written = (written + 1) % MOD; done++ } }

proctype writer()
{
    byte slot, number;
    do
    :: done < N ->
        slot = written % CAP;                        /* written_.load(relaxed), which only this side stores */
        number = done;
#if BROKEN == 2
        if
        :: word_a[slot] = number
        :: skip
        fi;
#endif
        opened[slot] = written;                      /* opened.store(release); fence(release) */
#if BROKEN == 1
        if
        :: word_a[slot] = number; sequence[slot] = (written + 1) % MOD; word_b[slot] = number
        :: word_a[slot] = number; word_b[slot] = number; sequence[slot] = (written + 1) % MOD
        fi;
        store_counter()
#elif BROKEN == 8
        word_a[slot] = number; word_b[slot] = number;
        sequence[slot] = (written + 1) % MOD;
        if
        :: number + 1 < N -> opened[(written + 1) % CAP] = (written + 1) % MOD
        :: skip
        fi;
        store_counter()
#elif BROKEN == 9
        if
        :: word_a[slot] = number; store_counter(); word_b[slot] = number; sequence[slot] = written
        :: word_a[slot] = number; word_b[slot] = number; sequence[slot] = (written + 1) % MOD; store_counter()
        fi
#else
        if                                           /* words[i].store(relaxed) */
        :: word_a[slot] = number; word_b[slot] = number
        :: word_b[slot] = number; word_a[slot] = number
        fi;
        sequence[slot] = (written + 1) % MOD;        /* sequence.store(position + 1, release) */
        store_counter()                              /* written_.store(position + 1, release) */
#endif
    :: else -> break
    od
}

/* Reader::copy(): `after` is what it found in `opened` behind the words. */
inline copy()
{
#if BROKEN == 3
    if
    :: a = word_a[slot]; after = opened[slot]; b = word_b[slot]
    :: a = word_a[slot]; b = word_b[slot]; after = opened[slot]
    fi
#else
    if                                               /* words[i].load(relaxed) */
#if BROKEN == 6
    :: early -> b = word_b[slot]
#endif
    :: a = word_a[slot]; b = word_b[slot]
    :: b = word_b[slot]; a = word_a[slot]
    fi;
    after = opened[slot]                             /* fence(acquire); opened.load(relaxed) */
#endif
}

/* Whole, the right one, and so neither early, late nor twice. */
inline deliver()
{
    d_step {
        assert(a == passed && b == passed);
        passed++; cursor = (cursor + 1) % MOD;
        a = 0; b = 0; after = 0; slot = 0; found = 0
    }
}

proctype reader()
{
    byte cursor = FIRST;
    byte passed;                                     /* delivered_ + lost_ + skipped_ */
    byte slot, a, b, found, after, known;
    bool last;
#if BROKEN == 6
    bool early;
#endif

    do
    :: true -> break                                 /* the reader dies or is never run again */

    :: true ->                                       /* next() */
        last = (done == N);
        slot = cursor % CAP;
#if BROKEN == 6
        early = false;
        if
        :: a = word_a[slot]; early = true
        :: skip
        fi;
#endif
        found = sequence[slot];                      /* sequence.load(acquire) */
        if
        :: found == (cursor + 1) % MOD ->
#if BROKEN == 12
            known = written;
#endif
            copy();
            if
            :: true -> skip
            :: true -> goto gone                     /* dies after the copy */
            fi;
            if
            :: (BROKEN == 4 || after == cursor) -> deliver(); goto again
            :: else
            fi
#if BROKEN != 11
        :: found == (cursor + 1 + MOD - CAP) % MOD -> /* of the lap before: none yet */
            if
            :: last -> assert(passed == N); break    /* drained */
            :: else -> goto again
            fi
#endif
        :: else
        fi;
#if BROKEN == 12
        if
        :: found == (cursor + 1) % MOD -> skip
        :: else -> known = written
        fi;
#else
        known = written;                             /* fence(acquire) after a copy; written_.load(acquire) */
#endif
        d_step {
            assert(AHEAD(known, cursor) >= CAP && AHEAD(known, cursor) <= N);  /* it was lapped, and can be told so */
            passed = passed + AHEAD(known, cursor) + 1 - CAP;
            cursor = (known + MOD - CAP + 1) % MOD;
#if BROKEN == 7
            passed--;
#endif
            a = 0; b = 0; known = 0
        }
again:  skip; d_step { known = 0; after = 0; slot = 0; found = 0; last = false }

    :: true ->                                       /* latest() */
#if BROKEN == 6
        early = false;
#endif
        known = written;                             /* written_.load(acquire) */
        if
        :: known == cursor                           /* nothing newer */
#if BROKEN != 10
        :: (known + 1) % MOD == cursor               /* next() was ahead of the counter */
#endif
        :: else ->
            slot = (known + MOD - 1) % MOD % CAP;
            copy();
            if
            :: (BROKEN == 5 || after == (known + MOD - 1) % MOD) ->
                d_step { passed = passed + AHEAD(known, cursor) - 1; cursor = (known + MOD - 1) % MOD };
                deliver()
            :: else -> d_step { a = 0; b = 0; after = 0; slot = 0 }  /* again with the newer one: the loop around */
            fi
        fi;
        known = 0
    od;
gone: skip
}

init {
    byte i;
    atomic {                                         /* the constructor */
#if BROKEN != 13
        for (i : 0 .. CAP - 1) {
            opened[(FIRST + i) % CAP] = (FIRST + i + MOD - CAP) % MOD;
            sequence[(FIRST + i) % CAP] = (FIRST + i + 1 + MOD - CAP) % MOD
        }
#endif
        i = 0;
        run writer();
        do
        :: i < READERS -> run reader(); i++
        :: else -> break
        od
    }
}

/* Whatever the readers do or leave undone, the writer ends: it waits for nobody. */
ltl writer_never_waits { <> (done == N) }
