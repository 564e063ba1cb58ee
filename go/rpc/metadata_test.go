package rpc_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
)

func pairs(m *rpc.Metadata) (all []string) {
	for key, value := range m.All() {
		all = append(all, key+"="+value)
	}
	return all
}

func TestMetadata(t *testing.T) {
	var m rpc.Metadata
	require.Zero(t, m.Len())
	require.Empty(t, m.Get("a"))
	require.False(t, m.Has("a"))
	for _, e := range []string{"a=1", "b=2", "a=3", "c=", "a=\x00\xff"} {
		key, value, _ := strings.Cut(e, "=")
		require.NoError(t, m.Add(key, value))
	}
	require.Equal(t, []string{"a=1", "b=2", "a=3", "c=", "a=\x00\xff"}, pairs(&m))
	require.Equal(t, "1", m.Get("a"))
	require.Equal(t, []string{"1", "3", "\x00\xff"}, slices.Collect(m.Values("a")))
	require.True(t, m.Has("c"))
	require.NoError(t, m.Set("a", "4"))
	require.Equal(t, []string{"a=4", "b=2", "c="}, pairs(&m))
	require.NoError(t, m.Set("d", "5"))
	require.True(t, m.Delete("b"))
	require.False(t, m.Delete("b"))
	require.Equal(t, []string{"a=4", "c=", "d=5"}, pairs(&m))
	for range m.All() {
		break
	}
	for range m.Values("a") {
		break
	}
	m.Reset()
	require.Zero(t, m.Len())
	require.Empty(t, pairs(&m))
}

func TestMetadataThatCantBe(t *testing.T) {
	var m rpc.Metadata
	for _, key := range []string{"A", "a b", "ä", "a:", "a\x00", "a/b"} {
		require.ErrorContains(t, m.Add(key, ""), "use lower case ASCII letters, digits, '-', '_' and '.'", "%q", key)
	}
	require.EqualError(t, m.Add("", ""), "rpc: a metadata key of 0 bytes; it may have 1 to 255")
	require.EqualError(t, m.Set(strings.Repeat("k", 256), ""), "rpc: a metadata key of 256 bytes; it may have 1 to 255")
	require.NoError(t, m.Add(strings.Repeat("k", 255), ""))
	require.NoError(t, m.Add("az09-_.", "any \x00 bytes"))
	require.Equal(t, 2, m.Len())
}

// What fits is exactly what a block of 16 KiB holds: 8 bytes, and 4 for each entry beside its texts.
func TestTheLimitOfMetadata(t *testing.T) {
	const room = 16<<10 - 8
	var m rpc.Metadata
	require.ErrorContains(t, m.Add("k", strings.Repeat("v", room-4)), `metadata "k" would make the block 16385 bytes; at most 16384`)
	require.NoError(t, m.Add("k", strings.Repeat("v", room-5)))
	require.Error(t, m.Add("l", ""))
	require.NoError(t, m.Set("k", strings.Repeat("w", room-5)), "in the place of the other")
	require.Error(t, m.Set("k", strings.Repeat("w", room-4)))
	require.Equal(t, strings.Repeat("w", room-5), m.Get("k"), "it is as it was")
	require.NoError(t, m.Set("k", ""))
	require.NoError(t, m.Add("l", strings.Repeat("v", room-10)))
	require.True(t, m.Delete("l"))
	require.NoError(t, m.Add("l", strings.Repeat("v", room-10)))
	m.Reset()
	require.NoError(t, m.Add("k", strings.Repeat("v", room-5)))
}

// Metadata does what a list does.
func TestMetadataAgainstAList(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	var m rpc.Metadata
	var list []string
	for range 20_000 {
		key, value := string(rune('a'+random.IntN(4))), randomText(random.IntN(1000), random.IntN(200))
		is := func(e string) bool { return strings.HasPrefix(e, key+"=") }
		size := 8
		for _, e := range list {
			size += 3 + len(e) // without "="
		}
		switch random.IntN(5) {
		case 0, 1:
			fits := size+4+1+len(value) <= 16<<10
			require.Equal(t, fits, m.Add(key, value) == nil)
			if fits {
				list = append(list, key+"="+value)
			}
		case 2:
			if m.Set(key, value) == nil {
				if at := slices.IndexFunc(list, is); at < 0 {
					list = append(list, key+"="+value)
				} else {
					list[at] = key + "=" + value
					list = append(list[:at+1], slices.DeleteFunc(list[at+1:], is)...)
				}
			}
		case 3:
			if random.IntN(10) == 0 {
				require.Equal(t, slices.ContainsFunc(list, is), m.Delete(key))
				list = slices.DeleteFunc(list, is)
			}
		case 4:
			at := slices.IndexFunc(list, is)
			require.Equal(t, at >= 0, m.Has(key))
			if at >= 0 {
				require.Equal(t, list[at], key+"="+m.Get(key))
			}
		}
		require.Equal(t, len(list), m.Len())
	}
	require.Equal(t, list, pairs(&m))
}
