//go:build cgo && !smf_system

package native

/*
#cgo CFLAGS: -I${SRCDIR}/../native/include
#cgo LDFLAGS: -L${SRCDIR}/../build/link -lsmf_is_not_built:_run_build.sh_build,_or_use_-tags_smf_system -lpthread
*/
import "C"
