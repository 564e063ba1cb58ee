package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSize(t *testing.T) {
	for _, test := range []struct {
		text  string
		bytes int64
		shown string
	}{
		{"0", 0, "0"}, {"65536", 65536, "64KiB"}, {"1000", 1000, "1000"}, {"1B", 1, "1"}, {"512M", 512 << 20, "512MiB"},
		{"512MB", 512 << 20, "512MiB"}, {"2gib", 2 << 30, "2GiB"}, {"3K", 3 << 10, "3KiB"}, {"1TiB", 1 << 40, "1TiB"},
	} {
		var s size
		require.NoError(t, s.Set(test.text), test.text)
		require.Equal(t, test.bytes, int64(s), test.text)
		require.Equal(t, test.shown, s.String())
	}
	for _, text := range []string{"", "M", "-1", "1.5G", "12X", "1 G", "9999999T", "9223372036854775808", "BiB"} {
		s := size(7)
		require.Error(t, s.Set(text), text)
		require.Equal(t, size(7), s)
	}
}
