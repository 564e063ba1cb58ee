//go:build !race

package loop

// raceToken tells the race detector how the loop goes from one goroutine to another. The baton's words
// live in C memory, which the detector does not see. Nothing without -race.
type raceToken struct{}

func (*raceToken) release() {}
func (*raceToken) acquire() {}
