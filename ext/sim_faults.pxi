# Switching the named faults of a board. Included behind class Board, whose methods call these.

cdef int switch_fault(Board self, str name, object on, object axis, dict given) except -1:
    cdef FaultSlot* slot
    if axis != 0 or table.AXIS in table.parameters(table.find(name)):
        given["axis"] = axis
    row, values = table.checked(name, given, self.arm.axes)
    number = _number(name)
    own = [values[p.name] for p in row.parameters] + [0.0, 0.0, 0.0]
    first_axis, last_axis = 0, 0
    if row.per_axis:
        chosen = int(values["axis"])
        first_axis, last_axis = (chosen, chosen) if chosen else (1, self.arm.axes)
    for i in range(first_axis, last_axis + 1):
        slot = &self.fault[<int>number][<int>i]
        slot.on = bool(on)
        slot.probability = values.get("probability", 1.0)
        slot.count = int(values.get("count", 0))
        slot.until_ns = self.arm.now_ns + int(values["seconds"] * 1e9) if values["seconds"] else 0
        slot.first, slot.second, slot.third = own[0], own[1], own[2]
    return apply_faults(self)


cdef int end_faults(Board self, object name) except -1:
    if name is not None:
        table.find(name)
    for f, row in enumerate(table.FAULTS):
        if name is None or row.name == name:
            for i in range(MAX_AXES + 1):
                self.fault[<int>f][<int>i].on = False
    return apply_faults(self)


cdef int apply_faults(Board self) except -1:
    """Hands the faults that act on the board and the axes to them."""
    cdef Axis* a
    cdef int i, f
    self.arm.pressed = self.fault[BUTTON][0].on
    self.arm.welded = self.fault[WELDED][0].on
    self.arm.stuck_open = self.fault[STUCK_OPEN][0].on
    self.arm.enable_stuck = self.fault[ENABLE_STUCK][0].on
    self.arm.without_edge = self.fault[WITHOUT_EDGE][0].on
    self.arm.chatter_open_ns = 0
    if self.fault[CHATTER][0].on:
        self.arm.chatter_period_ns = <int64_t>(self.fault[CHATTER][0].first * 1e6)
        self.arm.chatter_open_ns = <int64_t>(self.fault[CHATTER][0].second * 1e6)
    self.arm.battery_override = -1.0
    if self.fault[LOW_BATTERY][0].on:
        self.arm.battery_override = self.fault[LOW_BATTERY][0].first
    elif self.fault[HIGH_BATTERY][0].on:
        self.arm.battery_override = self.fault[HIGH_BATTERY][0].first
    self.arm.hand_force_n[0] = self.fault[HAND_FORCE][0].first if self.fault[HAND_FORCE][0].on else 0.0
    self.arm.hand_force_n[1] = self.fault[HAND_FORCE][0].second if self.fault[HAND_FORCE][0].on else 0.0
    self.arm.hand_force_n[2] = self.fault[HAND_FORCE][0].third if self.fault[HAND_FORCE][0].on else 0.0
    for i in range(self.arm.axes):
        a = &self.arm.axis[i]
        a.outside = self.fault[OUTSIDE_TORQUE][i + 1].first if self.fault[OUTSIDE_TORQUE][i + 1].on else 0.0
        a.torque_error = self.fault[TORQUE_OFFSET][i + 1].first if self.fault[TORQUE_OFFSET][i + 1].on else 0.0
        a.no_setup = self.fault[NO_SETUP][i + 1].on
        a.no_connection = self.fault[NO_CONNECTION][i + 1].on
        a.waiting = self.fault[WAITING_FAULT][i + 1].on
        a.fault_error = <int>self.fault[ERROR_FAULT][i + 1].first if self.fault[ERROR_FAULT][i + 1].on else 0
        a.fault_warning = <int>self.fault[WARNING_FAULT][i + 1].first if self.fault[WARNING_FAULT][i + 1].on else 0
        a.stuck = self.fault[SENSOR_STUCK][i + 1].on
        a.blocked = self.fault[BLOCKED][i + 1].on
        a.drift = self.fault[DRIFT][i + 1].first if self.fault[DRIFT][i + 1].on else 0.0
        a.sensor_offset = 0.0
        if self.fault[SENSOR_JUMP][i + 1].on:
            a.sensor_offset += self.fault[SENSOR_JUMP][i + 1].first
        if self.fault[SENSOR_WRAP][i + 1].on:
            a.sensor_offset += self.fault[SENSOR_WRAP][i + 1].first * a.resolution
    self.timed_faults = False
    for f in range(MAX_FAULTS):
        for i in range(MAX_AXES + 1):
            if self.fault[f][i].on and self.fault[f][i].until_ns:
                self.timed_faults = True
    return 0
