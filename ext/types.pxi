# The core's own data: settings, axis, motion and bus state. Plain C structs, no Python object anywhere.

cdef enum:
    RECEIVE_SIZE = 4096
    RECEIVE_BUFFER = RECEIVE_SIZE + 256  # a whole read fits behind the longest part of a telegram
    COMMANDS_IN_RING = 64
    NO_AXIS = 0
    SENT_SETPOINTS = 4                   # a power of two, more than the age of any answer that is used
    STANDSTILL_SETTLE_NS = 150000000     # after a motion, before standstill is supervised
    ARRIVAL_TOLERANCES = 4               # settling that ends further than so many in_position_counts away has failed
    ABSENT_TELEGRAMS = 5                 # in a row that a drive may be out of AUTO while it has to follow
    TOO_FAST_NS = 50000000               # a drive's ripple, or a jerk at a soft one, lasts less long
    HMI_SILENCE_NS = 1000000000          # a motion nobody could stop any more ends softly
    SHUTDOWN_PATIENCE_NS = 800000000     # a soft stop at the end of the program becomes a quick one then
    SETTLE_NS = 1000000000               # settling without coming nearer is given up then
    STALE_NS = 1000000000                # motion commands older than this are not carried out (jog: its own timeout)
    FIRST_ANSWER_NS = 500000000          # a board in the cyclic phase answers its first telegram by then
    LEAVE_TELEGRAMS = 10                 # power off, then with the leave flag, before a line is given back
    LIMBS = 3                            # shares of weight: none, upper arm, forearm
    LEAVE_NS = 100000000                 # fewer at low rates, so that the end does not take longer than this

cdef enum Motion:
    MOTION_STANDING      # drives hold by themselves
    MOTION_SETTLING      # trajectory ended, position loop closes the last counts
    MOTION_POSITION
    MOTION_JOG
    MOTION_BRAKING       # a position motion was braked before a limit; planned anew once it stands
    MOTION_EXTERNAL      # set-points follow the targets of an external program
    MOTION_HAND_JOG      # the hand at a velocity, see hand_jog.pxi
    MOTION_LINE          # the hand along a straight line, see move.pxi
    MOTION_COMPLIANT     # a hand leads the arm
    MOTION_RETREAT       # after the soft stop of a contact, a little way with the outside torque
    MOTION_STOPPING      # soft or quick stop

cdef enum HandPhase:     # of a move of the hand before it goes
    HAND_IDLE
    HAND_WAITS           # for the motion before it to end
    HAND_BEGINS          # taken: the verdict is another cycle's, so that it follows the command's own
    HAND_SEARCHES
    HAND_SPACES          # evenly spaced points of it
    HAND_PLANS           # speed limits along the line
    HAND_SMOOTHS

cdef enum Power:         # steps of TRANSITION_TO_AUTO
    POWER_TEST_CLOSING   # self-test of the relay path, drives off
    POWER_TEST_OPENING
    POWER_CONTACTS
    POWER_DRIVES

ctypedef bint flag

cdef struct Settings:    # constant while a line is attached; written by the main thread before `attach`
    int axes
    int64_t period_ns
    int64_t silence_ns
    int64_t relay_ns
    int64_t jog_timeout_ns
    int64_t overruns_in_a_row
    double position_gain_1_s
    double limit_margin_deg
    double following_error_deg
    double standstill_speed_deg_s
    double standstill_drift_deg
    double in_position_counts
    double battery_minimum_v
    double battery_maximum_v
    double battery_averaging_s
    int64_t external_heartbeat_ns   # 0: external development is switched off

cdef struct AxisParameters:
    double deg_per_count            # signed: dir x stroke / resolution
    double zero_counts
    double deg_per_microstep        # register 220 + i
    int hard_minimum_counts
    int hard_maximum_counts
    double minimum_deg              # set-points stay inside: hard limits less the margin
    double maximum_deg
    double max_speed_deg_s
    double max_acceleration_deg_s2
    double max_jerk_deg_s3
    double quick_deceleration_deg_s2

cdef struct Axis:
    # feedback
    uint8_t status, driver_state, driver_mode
    uint16_t error_code, warning_code
    int16_t position_counts, torque_counts, drive_target
    float frequency
    double position_deg, speed_deg_s
    double following_error_deg      # set-point of the time the feedback was sampled, less the feedback
    double slip_deg                 # way by the drive's speed less way by the sensor, since power-up; fades
    int64_t rest_since_ns           # since when the set-point has been at rest
    int absent                      # telegrams in a row with the drive out of AUTO while it has to follow
    # trajectory share of the set-point, and the position loop's correction on top of it
    double correction_deg_s, correction_deg_s2
    double command_deg_s, command_before_deg_s
    # motion
    double jog_percent, target_deg, hold_deg
    double rest_deg                 # where the axis was when its standstill began
    double allowed_deg_s            # speed that the motions of the last moments may have made; see too_fast
    int64_t fast_since_ns           # since when it has been faster, -1 not
    double smooth_deg, against_deg  # way against its set-point's direction, net; see moves_against
    double lowest_deg, highest_deg  # limits of the present motion: range in force, widened to where the axis stood
    # range of set-points in force, and the range of motion it comes from besides the hard limits (ranges.pxi)
    double minimum_deg, maximum_deg
    double rom_minimum_deg, rom_maximum_deg
    double given_minimum_deg, given_maximum_deg     # for the next ROM_ENABLE
    double guard_low_deg, guard_high_deg            # ESS-3, 4: bounds of the actual position, less the margin
    flag rom_enforced
    int blocked                     # direction (-1, +1) in which a limit stopped a jog, 0 none
    flag on_target
    # speed cascade in percent
    double advanced_percent, user_percent, movement_percent
    double speed_limit_deg_s

cdef struct Command:
    uint32_t kind
    uint32_t sequence
    uint32_t client
    uint32_t mask
    int64_t asked_ns                # monotonic: when its message arrived
    double value
    double values[MAX_AXES]

cdef struct Event:
    int64_t time_ns
    uint32_t kind, a, b, c

cdef struct Bus:
    uint8_t buffer[RECEIVE_BUFFER]
    int filled
    flag aligned                    # the next byte should begin a telegram
    uint8_t sequence                # of the last command telegram
    uint8_t answered                # sequence number of the command telegram that the feedback answers
    int64_t sent_ns[256]
    int64_t attached_ns, valid_ns   # monotonic times: first cycle on the line, last valid telegram; -1 none
    int64_t first_valid_ns
    int64_t sample_ns               # when the command was sent that the feedback answers, -1 none
    int state
    flag fresh                      # a new valid telegram came in this cycle
    int gap                         # periods between the last two fresh telegrams
    int unheard                     # cycles since the last fresh telegram
    int leaving                     # telegrams still to send with the leave flag before the line is released
    uint8_t inputs
    uint16_t battery_mv, clock_ms
    uint32_t faults[16]
    uint64_t valid

cdef struct Hand:        # where the hand is, by the chain of joints (kinematics.pxi)
    Chain configured                # as the configuration has it
    Chain chain                     # with the length adjustments in force
    double upper_arm_mm, forearm_mm # the adjustments, kept over a new bring-up
    Frames frames                   # of the last valid feedback, in base coordinates
    double elbow_deg
    flag known                      # the arm has been heard since the line was lent
    uint32_t warned                 # warnings that are active, see hand.pxi
    int64_t warned_ns[12]           # when a jog was last hindered, by warning
    # jog
    double jog_percent[3]
    double speed_mm_s[3]
    double acceleration_mm_s2[3]
    double reference_mm[3]          # where it would be by its speed alone
    flag followed                   # the cycle before was one of this jog, from the speeds `before_deg_s`
    double before_deg_s[MAX_AXES]
    double least_deg_s[MAX_AXES]    # speeds at which each axis still comes to rest before its limits
    double most_deg_s[MAX_AXES]
    double effort_s2_mm             # largest share of an axis's acceleration that 1 mm/s^2 of the hand takes
    # move
    int phase
    int smoothed                    # segments of the path whose limit is smoothed
    Command target                  # HAND_MOVE
    double limits_deg_s[MAX_AXES]   # speed limits it was planned with
    double planned_deg_s[MAX_AXES]  # and the speeds planned within them
    double planned_mm_s
    Line line
    Path path

cdef struct LoadSettings:    # masses of the links and what may push the arm; constant while a line is attached
    flag known
    int limb[MAX_AXES]              # whose weight share counts: 0 none, 1 upper arm, 2 forearm
    double mass_kg[MAX_AXES]
    double centre_mm[MAX_AXES][3]   # of mass, in the link's frame
    double counts_per_nm[MAX_AXES]  # of the torque sensor; signed
    double zero_counts[MAX_AXES]    # what it reads without a torque
    double inertia_counts[MAX_AXES] # counts per deg/s^2 that the sensor shows of all behind the joint
    double spring_offset_counts[MAX_AXES]
    double spring_counts_per_deg[MAX_AXES]
    double contact_counts[MAX_AXES]
    int64_t contact_ns
    int contact_action
    flag contact_standing           # looked for while the arm stands in AUTO, too
    double retreat_deg
    double response_s, zone_deg, speed_share

cdef struct Load:        # gravity.pxi, compliant.pxi
    LoadSettings settings
    double weight[LIMBS]            # shares in force, 1 is all of it
    double dead_band_counts[MAX_AXES]
    double proportional[MAX_AXES]   # deg/s per count
    double exponential[MAX_AXES]    # per count
    double derivative[MAX_AXES]     # deg/s per count/s
    double holding_counts[MAX_AXES] # by the mass model, what the drive carries
    double residual_counts[MAX_AXES]    # measured beside it, smoothed, and its slope
    double slope_counts_s[MAX_AXES]
    int64_t contact_since_ns[MAX_AXES]
    int64_t changed_ns              # when its masses or lengths were last given
    double borne_counts[MAX_AXES]   # beside the load, for about a second already; and when a retreat began
    double accepted_counts[MAX_AXES]
    flag retreat                    # the soft stop that runs is to end in one
    int retreat_from[MAX_AXES]      # sign of the residual that each axis gives way to, 0 none
    int phase
    int64_t rest_ns, led_since_ns
    double carried_counts[MAX_AXES] # residual at the hand-over

cdef struct External:    # a program of the user's; what it writes is only ever looked at as a copy
    ExternalLink* link              # the memory shared with it, NULL no program
    ExternalTargetRecord target     # newest valid record; its sequence and time
    int64_t heard_ns                # when that was taken, -1 none since the program connected
    flag follow                     # `target` was made in the knowledge of the admission
    int64_t admitted_ns
    uint64_t admitted_cycle
    uint32_t taken, rejected
    int last_refusal
    uint8_t limited[MAX_AXES]       # bits of ExternalLimit

cdef struct Machine:
    Settings settings
    AxisParameters parameters[MAX_AXES]
    Axis axis[MAX_AXES]
    Bus bus
    double sent_position_deg[SENT_SETPOINTS][MAX_AXES]  # set-point when each of the last telegrams was sent
    # set-points of the trajectory, as arrays for the planner
    double position_deg[MAX_AXES]
    double speed_deg_s[MAX_AXES]
    double acceleration_deg_s2[MAX_AXES]
    double motion_time_s
    double move_percent
    External external
    Hand hand
    Load load
    int motion
    int64_t settle_ns               # time in MOTION_SETTLING without coming nearer
    double settle_error_deg         # smallest distance of all axes together so far
    int64_t settled_ns
    # state machine
    int state, mode, reason
    int64_t now_ns, state_since_ns, standing_since_ns
    int power_step
    int64_t power_since_ns          # when the power-up proper began, after the self-test
    int self_test
    flag motor_power
    int stop_category               # of the stop that is running or done, STOP_CATEGORY_NONE otherwise
    flag off_after_stop
    flag shutdown
    int64_t shutdown_ns
    flag energised                  # motor power is commanded and the contacts have closed since
    flag contacts_before            # as of the last fresh telegram
    double openings                 # of the contacts while energised; one fades per second
    flag start_failed               # 290 or 291 was raised: 292 from then on
    flag quick_limits               # the running trajectory uses the quick stop's limits
    int64_t reset_until_ns          # RESET_ERROR is running until then, 0 not
    flag setup_tried                # a bring-up was already asked for to cure a drive's set-up
    Command pending                 # motion command waiting for AUTO; kind 0 none
    Command prepared                # targets of the last PREPARE: good while the mode is POSITION_TARGET_WAIT_FOR_START
    int64_t jog_ns                  # when the running jog was last asked for
    int64_t jog_asked_ns            # when any jog was last asked for, refused or not
    # emergency stop monitor: since when each mismatch lasts, -1 not
    int64_t start_enable_ns, start_contacts_ns, contacts_closed_ns, button_contacts_ns, contacts_open_ns
    # faults
    uint32_t faults[MAX_FAULTS]
    uint32_t fault_cycle[MAX_FAULTS]
    int fault_count
    uint32_t fault_total
    double battery_v
    # counters
    uint64_t cycle, overruns, skipped
    int64_t overruns_now
    double left_out                 # share of the last second's cycles that did not happen
    int64_t lateness_ns, run_ns
    uint32_t commands_done, commands_refused, last_command, late_command, stops, limit_interventions, events_dropped, motions_done
    uint32_t blockers
    int last_result, last_kind, late_result
    # what the cycle may use besides its inputs
    Planner* planner
    Planner* hand_planner
    CommandRing64[Command]* commands
    CommandRing1024[Event]* events
    Handshake* handshake
