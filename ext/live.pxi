# What the HMI does for every message: fields of a state record as JSON text, in one pass, and the way out to a socket.

cdef extern from "<sys/socket.h>" nogil:
    ssize_t send(int, const void*, size_t, int)
    const int MSG_DONTWAIT, MSG_NOSIGNAL

cdef enum:
    LIVE_FIELDS = 16
    LIVE_TEXT = 4096
    NUMBER_TEXT = 24        # of the longest number and what is around it

cdef enum LiveType:
    LIVE_DOUBLE
    LIVE_FLOAT
    LIVE_INT16

cdef struct LiveField:
    int offset          # in the record
    LiveType type
    int size            # bytes of one element
    int least           # elements at least, zeros behind those of the arm; 0 a plain number
    flag per_axis
    int decimals        # 0 or 1
    int prefix, prefix_size


cdef int write_number(char* out, double value, int decimals) noexcept nogil:
    """Rounded decimal text; returns its length. `value` is finite."""
    cdef char digits[NUMBER_TEXT]
    cdef int n = 0, size = 0
    cdef int64_t scaled = llrint(clamp(value, -1e12, 1e12) * (10.0 if decimals else 1.0))
    if scaled < 0:
        out[size] = c'-'
        size += 1
        scaled = -scaled
    if decimals:
        digits[0] = <char>(c'0' + scaled % 10)
        digits[1] = c'.'
        n = 2
        scaled //= 10
    while scaled or n == 0 or digits[n - 1] == c'.':
        digits[n] = <char>(c'0' + scaled % 10)
        n += 1
        scaled //= 10
    while n:
        n -= 1
        out[size] = digits[n]
        size += 1
    return size


cdef double live_value(const uint8_t* at, LiveType type) noexcept nogil:
    if type == LIVE_DOUBLE:
        return (<const double*>at)[0]
    if type == LIVE_FLOAT:
        return (<const float*>at)[0]
    return (<const int16_t*>at)[0]


cdef int write_live(char* out, const StateRecord* record, const LiveField* fields, int count, const char* prefixes,
                    uint64_t* nulls) noexcept nogil:
    """All fields, comma between them; returns the length of the text. What is not finite becomes null and is counted."""
    cdef int size = 0
    cdef int f, i, elements, present
    cdef const uint8_t* at
    cdef double value
    for f in range(count):
        memcpy(out + size, prefixes + fields[f].prefix, fields[f].prefix_size)
        size += fields[f].prefix_size
        at = <const uint8_t*>record + fields[f].offset
        present = record.axes if fields[f].per_axis else 1
        elements = present if present > fields[f].least else fields[f].least
        for i in range(elements):
            if i:
                out[size] = c','
                size += 1
            value = live_value(at + i * fields[f].size, fields[f].type) if i < present else 0.0
            if isfinite(value):
                size += write_number(out + size, value, fields[f].decimals)
            else:
                memcpy(out + size, b"null", 4)
                size += 4
                nulls[0] += 1
        if fields[f].per_axis:
            out[size] = c']'
            size += 1
    return size


@cython.final
cdef class LiveText:
    """Text of some fields of a record: `"name":[1,2],"other":3.5`. For one thread.

    `rows`: (name in the text, byte offset in the record, C type, whether per axis, elements at least, decimals 0 or 1).
    ValueError for a type or a size this does not know. `nulls` counts values that were not finite.
    """
    cdef LiveField fields[LIVE_FIELDS]
    cdef int count
    cdef bytes prefixes
    cdef uint64_t null_count

    def __init__(self, rows):
        cdef LiveField* field
        types = {"double": (LIVE_DOUBLE, 8), "float": (LIVE_FLOAT, 4), "int16_t": (LIVE_INT16, 2)}
        prefixes = bytearray()
        if len(rows) > LIVE_FIELDS:
            raise ValueError(f"LiveText: {len(rows)} fields given, at most {LIVE_FIELDS} allowed")
        for name, offset, ctype, per_axis, least, decimals in rows:
            if ctype not in types or decimals not in (0, 1) or not 0 <= least <= MAX_AXES:
                raise ValueError(f"LiveText: {name}: {ctype} with {decimals} decimals, {least} elements at least")
            field = &self.fields[self.count]
            field.type, field.size = types[ctype]
            if not 0 <= offset <= <int>sizeof(StateRecord) - field.size * (MAX_AXES if per_axis else 1):
                raise ValueError(f"LiveText: {name}: offset {offset} is outside the record")
            prefix = f'{"," if self.count else ""}"{name}":{"[" if per_axis else ""}'.encode()
            field.offset, field.per_axis, field.least, field.decimals = offset, per_axis, least, decimals
            field.prefix, field.prefix_size = len(prefixes), len(prefix)
            prefixes += prefix
            self.count += 1
        self.prefixes = bytes(prefixes)
        if len(prefixes) + self.count * MAX_AXES * NUMBER_TEXT > LIVE_TEXT:
            raise ValueError("LiveText: the names are too long")

    @property
    def nulls(self):
        return self.null_count

    def text(self, State state):
        """The text for one record."""
        cdef char out[LIVE_TEXT]
        cdef int size = write_live(out, &state.record, self.fields, self.count, self.prefixes, &self.null_count)
        return PyBytes_FromStringAndSize(out, size)


def send_now(int fd, bytes data):
    """Give a socket what it takes at once; returns how many bytes that is, -1 when it takes nothing or is broken. For
    frames: `os.write` would cost a change of the interpreter's lock, and an exception for a socket that is full."""
    return send(fd, <const char*>data, len(data), MSG_DONTWAIT | MSG_NOSIGNAL)
