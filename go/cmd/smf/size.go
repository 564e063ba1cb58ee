package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// size is a flag's value: bytes, with an optional unit. Units are powers of 1024.
type size int64

var sizeUnits = []struct {
	letter string
	bytes  int64
}{{"T", 1 << 40}, {"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}}

// Set reads "65536", "512M", "512MiB", "1G".
func (s *size) Set(text string) error {
	number := strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(text), "B"), "I")
	unit := int64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(number, u.letter); ok {
			number, unit = rest, u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return fmt.Errorf("not a size: use bytes or a unit, like 65536, 512MiB or 1GiB")
	}
	*s = size(n * unit)
	return nil
}

// String is the size in the largest unit that divides it.
func (s *size) String() string {
	for _, u := range sizeUnits {
		if *s > 0 && int64(*s)%u.bytes == 0 {
			return fmt.Sprintf("%d%siB", int64(*s)/u.bytes, u.letter)
		}
	}
	return strconv.FormatInt(int64(*s), 10)
}

// Type is the word that help shows for a value.
func (*size) Type() string { return "size" }
