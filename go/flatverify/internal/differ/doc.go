// Package differ holds a test: package flatverify and the verifier that FlatBuffers comes with, in C++,
// judge the same mutated buffers, and everything that flatverify accepts is read.
//
// A buffer that flatverify accepts and the stock verifier refuses is a failure. One that flatverify
// alone refuses has to break one of the rules that it adds on purpose; rules_test.go lists them.
package differ
