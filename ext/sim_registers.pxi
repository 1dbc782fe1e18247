# The register phase: reading the controller's messages out of the byte stream. Types by address as the bus has them.

cdef enum:
    NEED_MORE = 0
    MALFORMED = 1
    REQUEST = 2                         # 7-byte form with value 0 to a read-only address
    NUMBER = 3
    TEXT = 4
    ADDRESSES = 600
    MAX_TEXT = 512


cdef struct Message:
    int kind
    int address
    double value
    const uint8_t* text
    size_t text_size


cdef size_t skip_malformed(const uint8_t* data, size_t size) noexcept nogil:
    """Up to the next `#`."""
    cdef size_t at = 1
    while at < size and data[at] != 35:
        at += 1
    return at


cdef size_t find_message(const uint8_t* data, size_t size, const bint* read_only, Message* out) noexcept nogil:
    """Reads the message at the front of data; returns the bytes it takes (0 when more are needed)."""
    cdef size_t length, at
    cdef uint32_t raw
    cdef float number
    out.kind = MALFORMED
    if data[0] != 35:                                           # '#'
        return skip_malformed(data, size)
    if size < 4:
        out.kind = NEED_MORE
        return 0
    out.address = get_u16(data + 1)
    if data[3] != 58 or out.address < 1 or out.address >= ADDRESSES:  # ':'
        return skip_malformed(data, size)
    if read_only[out.address] or out.address >= 10:
        length = 7
        if not read_only[out.address] and (200 <= out.address < 400 or out.address >= 500):
            length = 9
        if size < length:
            out.kind = NEED_MORE
            return 0
        if data[length - 1] != 42:                              # '*'
            return skip_malformed(data, size)
        if length == 7:
            out.value = <int16_t>get_u16(data + 4)
        elif out.address >= 500:
            raw = get_u32(data + 4)
            out.value = <int32_t>raw
        else:
            number = get_f32(data + 4)
            out.value = number
        out.kind = REQUEST if read_only[out.address] else NUMBER
        return length
    # a string register: a request (value 0) or text up to two asterisks
    if size >= 7 and data[4] == 0 and data[5] == 0 and data[6] == 42:
        out.kind = REQUEST
        out.value = 0.0
        return 7
    at = 4
    while at < size and at - 4 <= MAX_TEXT:
        if data[at] == 42:
            if at + 1 >= size:
                break
            if data[at + 1] != 42:
                return skip_malformed(data, size)
            out.kind = TEXT
            out.text = data + 4
            out.text_size = at - 4
            return at + 2
        at += 1
    if at - 4 > MAX_TEXT:
        return skip_malformed(data, size)
    out.kind = NEED_MORE
    return 0


cdef bint value_fits(int address, double value) noexcept nogil:
    """Whether a written number is one its address can hold."""
    if 10 <= address < 50:
        return 0.0 <= value <= 255.0
    if 400 <= address < 500:
        return value == 0.0 or value == 1.0
    return isfinite(value)
