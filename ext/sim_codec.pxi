# Checksums, little-endian fields and random numbers of the simulated board. Written from the bus specification alone:
# it shares nothing with the controller's codec, so that each checks the other. Little-endian hosts only (memcpy).

cdef uint8_t CRC8[256]
cdef uint32_t CRC32[256]


cdef void make_crc_tables() noexcept nogil:
    cdef int i, bit
    cdef uint32_t c8, c32
    for i in range(256):
        c8 = i
        c32 = i
        for bit in range(8):
            c8 = ((c8 << 1) ^ 0x07) & 0xFF if c8 & 0x80 else (c8 << 1) & 0xFF
            c32 = (c32 >> 1) ^ <uint32_t>0xEDB88320 if c32 & 1 else c32 >> 1
        CRC8[i] = <uint8_t>c8
        CRC32[i] = c32


make_crc_tables()


cdef uint8_t crc8_of(const uint8_t* data, size_t size) noexcept nogil:
    cdef uint8_t crc = 0
    cdef size_t i
    for i in range(size):
        crc = CRC8[crc ^ data[i]]
    return crc


cdef uint32_t crc32_of(const uint8_t* data, size_t size) noexcept nogil:
    cdef uint32_t crc = 0xFFFFFFFF
    cdef size_t i
    for i in range(size):
        crc = CRC32[(crc ^ data[i]) & 0xFF] ^ (crc >> 8)
    return crc ^ <uint32_t>0xFFFFFFFF


cdef inline uint16_t get_u16(const uint8_t* p) noexcept nogil:
    return <uint16_t>(p[0] | (p[1] << 8))


cdef inline uint32_t get_u32(const uint8_t* p) noexcept nogil:
    return (<uint32_t>p[0]) | (<uint32_t>p[1] << 8) | (<uint32_t>p[2] << 16) | (<uint32_t>p[3] << 24)


cdef inline float get_f32(const uint8_t* p) noexcept nogil:
    cdef float value
    memcpy(&value, p, 4)
    return value


cdef inline void put_u16(uint8_t* p, uint16_t value) noexcept nogil:
    p[0] = <uint8_t>(value & 0xFF)
    p[1] = <uint8_t>(value >> 8)


cdef inline void put_u32(uint8_t* p, uint32_t value) noexcept nogil:
    put_u16(p, <uint16_t>(value & 0xFFFF))
    put_u16(p + 2, <uint16_t>(value >> 16))


cdef inline void put_f32(uint8_t* p, float value) noexcept nogil:
    memcpy(p, &value, 4)


cdef inline int16_t to_i16(double value) noexcept nogil:
    """Rounded to nearest and held inside int16."""
    if value >= 32767.0:
        return 32767
    if value <= -32768.0:
        return -32768
    return <int16_t>lround(value)


cdef inline uint64_t next_random(uint64_t* state) noexcept nogil:
    """splitmix64 (Steele, Lea, Flood 2014)."""
    state[0] += <uint64_t>0x9E3779B97F4A7C15
    cdef uint64_t z = state[0]
    z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t>0x94D049BB133111EB
    return z ^ (z >> 31)


cdef inline double next_uniform(uint64_t* state) noexcept nogil:
    """0 <= value < 1."""
    return <double>(next_random(state) >> 11) * (1.0 / 9007199254740992.0)


cdef inline double next_normal(uint64_t* state) noexcept nogil:
    """Sum of four uniforms (Irwin-Hall), scaled to mean 0 and deviation 1; never beyond 3.5 deviations."""
    cdef uint64_t r = next_random(state)
    cdef double total = <double>((r & 0xFFFF) + ((r >> 16) & 0xFFFF) + ((r >> 32) & 0xFFFF) + (r >> 48))
    return (total - 131070.0) * (1.7320508075688772 / 65536.0)
