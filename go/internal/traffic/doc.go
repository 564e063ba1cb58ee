// Package traffic is what a server has to stand: peers that break the rules of level 2 in every way that we
// can think of, and ordinary peers that do everything that there is at once, for long. Its tests hold servers
// in Go and in C, in processes of their own, against both; ./build.sh bench hostile measures what the former
// cost others, and ./build.sh soak mixed runs the latter for minutes.
package traffic
