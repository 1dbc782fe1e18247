/* Model of ext/state_ring.hpp, one statement per atomic access. Checked exhaustively by test_rings_model.py.
 *
 * What the memory orders allow is modelled as freedom of order: the two words of a record are stored, and loaded, in
 * either order, within the limits that the release store, the acquire loads and the two fences set. Each BROKEN variant
 * takes away one of these limits, or one check, and has to be caught:
 *   1 the counter is stored without release: a word may follow it
 *   2 the writer's fence is missing: a word of the next record may be stored before the counter
 *   3 the reader's fence is missing: a word may be loaded after the counter
 *   4 next() does not look at the counter again
 *   5 latest() does not look at the counter again
 *   6 the slot that is open to the writer counts as within reach
 *   7 lost records are counted one short
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
#define MOD 16     /* the counter wraps here, as in the header at 2^32 or 2^64 */
#define FIRST 13   /* so that it does within the run */
#ifndef N
#define N 6
#endif

#define AHEAD(a, b) ((a + MOD - b) % MOD)
#if BROKEN == 6
#define WITHIN_REACH(position) (AHEAD(known, position) <= CAP)
#else
#define WITHIN_REACH(position) (AHEAD(known, position) < CAP)
#endif

byte word_a[CAP], word_b[CAP];  /* Slot::words */
byte written = FIRST;           /* written_ */

byte done;                      /* records written; what the proof is about, not in the header */

active proctype writer()
{
    byte slot;
    do
    :: done < N ->
        slot = written % CAP;                        /* written_.load(relaxed), which only this side stores */
#if BROKEN == 1
        if
        :: word_a[slot] = done; written = (written + 1) % MOD; word_b[slot] = done; done++
        :: word_a[slot] = done; word_b[slot] = done; d_step { written = (written + 1) % MOD; done++ }
        fi
#elif BROKEN == 2
        if
        :: word_a[slot] = done; word_b[slot] = done; d_step { written = (written + 1) % MOD; done++ }
        :: done + 1 < N ->                           /* a word of the next record overtakes the counter */
            word_a[slot] = done; word_b[slot] = done;
            word_a[(slot + 1) % CAP] = done + 1;
            d_step { written = (written + 1) % MOD; done++ }
        fi
#else
        if                                           /* slot.words[i].store(relaxed) */
        :: word_a[slot] = done; word_b[slot] = done
        :: word_b[slot] = done; word_a[slot] = done
        fi;
        d_step { written = (written + 1) % MOD; done++ }  /* written_.store(position + 1, release); fence(release) */
#endif
    :: else -> break
    od
}

/* Reader::copy() and the look at the counter behind it. */
inline copy_and_look(position)
{
    slot = position % CAP;
#if BROKEN == 3
    if
    :: a = word_a[slot]; known = written; b = word_b[slot]
    :: a = word_a[slot]; b = word_b[slot]; known = written
    fi
#else
    if                                               /* slot.words[i].load(relaxed) */
    :: a = word_a[slot]; b = word_b[slot]
    :: b = word_b[slot]; a = word_a[slot]
    fi;
    known = written                                  /* fence(acquire); written_.load(acquire) */
#endif
}

/* Whole, the right one, and so neither early, late nor twice. */
inline deliver()
{
    d_step { assert(a == passed && b == passed); passed++; cursor = (cursor + 1) % MOD; a = 0; b = 0 }
}

active [READERS] proctype reader()
{
    byte cursor = FIRST, known = FIRST;
    byte passed;                                     /* delivered_ + lost_ + skipped_ */
    byte slot, a, b, newest, oldest;
    bool last;

    do
    :: true -> break                                 /* the reader dies or is never run again */

    :: true ->                                       /* next() */
        last = (done == N);
        if
        :: known == cursor -> known = written        /* written_.load(acquire) */
        :: else
        fi;
        if
        :: known == cursor ->                        /* none yet */
            if
            :: last -> assert(passed == N); break  /* drained */
            :: else
            fi
        :: known != cursor ->
            if
            :: WITHIN_REACH(cursor) ->
                copy_and_look(cursor);
                if
                :: true -> skip
                :: true -> goto gone                 /* dies after the copy */
                fi;
                if
                :: (BROKEN == 4 || WITHIN_REACH(cursor)) -> deliver(); goto again
                :: else
                fi
            :: else
            fi;
            d_step {
                oldest = (known + MOD - CAP + 1) % MOD;
                passed = passed + AHEAD(oldest, cursor);
                cursor = oldest; oldest = 0; a = 0; b = 0;
#if BROKEN == 7
                passed--;
#endif
            }
again:      skip
        fi

    :: true ->                                       /* latest() */
        known = written;                             /* written_.load(acquire) */
        if
        :: known == cursor                           /* nothing newer */
        :: else ->
            newest = (known + MOD - 1) % MOD;
            copy_and_look(newest);
            if
            :: (BROKEN == 5 || WITHIN_REACH(newest)) ->
                d_step { passed = passed + AHEAD(newest, cursor); cursor = newest; newest = 0 };
                deliver()
            :: else -> d_step { a = 0; b = 0; newest = 0 }  /* again with the newer one: the loop around */
            fi
        fi
    od;
gone: skip
}

/* Whatever the readers do or leave undone, the writer ends: it waits for nobody. */
ltl writer_never_waits { <> (done == N) }
