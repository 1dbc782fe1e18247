# A straight line of the hand while it is searched (line.pxi), and the path that is made of it (path.pxi).

cdef enum:
    LINE_POINTS = 1024
    CORRECTIONS = 8                     # of one attempt, at most
    ESCAPES = 5                         # in a row: more, and the way is blocked and only slid along

cdef enum LineState:
    LINE_SEARCHING
    LINE_FOUND
    LINE_BLOCKED

cdef struct Line:
    double start_mm[3]                  # of the hand: where it begins
    double way_mm[3]                    # and from there to its end
    int wrist                           # joint that turns evenly along the way, -1 none
    double wrist_way_deg
    double low_deg[MAX_AXES]
    double high_deg[MAX_AXES]
    double least_deg[MAX_AXES]          # the same for the next point
    double most_deg[MAX_AXES]
    int state
    int count                           # points found; the last one is where the search stands
    double at[LINE_POINTS]              # share of the way, 0..1
    double point_deg[LINE_POINTS][MAX_AXES]
    double along_deg[LINE_POINTS]       # length of the way in joint space up to each point
    double step                         # share of a full step that is tried next
    int escapes                         # out of a singular posture, in a row
    uint32_t held_low, held_high        # blocked: the joints that are at their minimum, maximum
    # the same way again, in points that are evenly spaced in joint space
    int last                            # index of the last one
    int spaced                          # those that are done
    int cursor
    double even_at[LINE_POINTS]
    double even_deg[LINE_POINTS][MAX_AXES]
    double longest_deg[MAX_AXES]        # way of each joint from point to point, at most

cdef struct Path:
    int last                            # where u ends; segments are 0..last - 1
    int planned                         # segments that have a limit
    double limit[LINE_POINTS]           # of du in each segment
    double smooth[LINE_POINTS]          # the same, smoothed
    double acceleration, jerk           # of u
    double u, du, ddu
    double scale                        # of the limits, 0..1: a speed limit that was lowered on the way
    int brake_to                        # segment before which the speed comes down, -1 none
    bint ending                         # it comes down for the end
    double brake_speed
