//go:build race

package traffic

// The race detector's own memory is several times that of what it looks at.
const raceEnabled = true
