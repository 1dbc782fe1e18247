// CRC-8 (polynomial 0x07, initial 0, not reflected) and CRC-32 (ISO-HDLC, the one of zlib) of the motor bus.
// Tables are made at compile time. CRC-8 runs the blocks of a telegram side by side: each block is a chain of
// dependent look-ups, so side by side they cost little more than one. CRC-32 takes eight bytes a step.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace allyarm {

constexpr std::array<std::uint8_t, 256> make_crc8() {
    std::array<std::uint8_t, 256> table{};
    for (unsigned i = 0; i < 256; ++i) {
        unsigned crc = i;
        for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x80u) ? (crc << 1) ^ 0x07u : crc << 1;
        table[i] = static_cast<std::uint8_t>(crc);
    }
    return table;
}

constexpr std::array<std::array<std::uint32_t, 256>, 8> make_crc32() {
    std::array<std::array<std::uint32_t, 256>, 8> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t crc = i;
        for (int bit = 0; bit < 8; ++bit) crc = (crc & 1u) ? (crc >> 1) ^ 0xEDB88320u : crc >> 1;
        table[0][i] = crc;
    }
    for (std::uint32_t i = 0; i < 256; ++i)
        for (std::size_t k = 1; k < 8; ++k)
            table[k][i] = (table[k - 1][i] >> 8) ^ table[0][table[k - 1][i] & 0xFFu];
    return table;
}

inline constexpr auto crc8_table = make_crc8();
inline constexpr auto crc32_table = make_crc32();

// True when every block of `blocks` x `stride` bytes carries at byte 0 the CRC-8 of its other bytes.
inline bool crc8_blocks_ok(const std::uint8_t* data, int blocks, int stride) noexcept {
    std::uint8_t crc[8] = {};
    for (int j = 1; j < stride; ++j)
        for (int b = 0; b < blocks; ++b)
            crc[b] = crc8_table[crc[b] ^ data[b * stride + j]];
    unsigned wrong = 0;
    for (int b = 0; b < blocks; ++b) wrong |= crc[b] ^ data[b * stride];
    return wrong == 0;
}

inline std::uint32_t crc32(const std::uint8_t* data, std::size_t size) noexcept {
    std::uint32_t crc = 0xFFFFFFFFu;
    const auto& t = crc32_table;
    while (size >= 8) {
        std::uint32_t low, high;
        std::memcpy(&low, data, 4);
        std::memcpy(&high, data + 4, 4);
        low ^= crc;
        crc = t[7][low & 0xFF] ^ t[6][(low >> 8) & 0xFF] ^ t[5][(low >> 16) & 0xFF] ^ t[4][low >> 24] ^
              t[3][high & 0xFF] ^ t[2][(high >> 8) & 0xFF] ^ t[1][(high >> 16) & 0xFF] ^ t[0][high >> 24];
        data += 8;
        size -= 8;
    }
    while (size--) crc = (crc >> 8) ^ t[0][(crc ^ *data++) & 0xFF];
    return ~crc;
}

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "telegrams are copied as little-endian memory");

}  // namespace allyarm
