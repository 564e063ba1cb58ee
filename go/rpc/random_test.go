package rpc_test

import (
	"encoding/binary"
	"math/rand/v2"
)

// randomText is a text that only this seed makes.
func randomText(seed, size int) string {
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	text := make([]byte, 0, size+9)
	for len(text) < size+1 {
		text = binary.LittleEndian.AppendUint64(text, r.Uint64())
	}
	return string(text[:size+1])
}
