package c

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const buildersSchema = `namespace b;
table Item { name: string (required); count: uint; }
union Any { Item }
table Box { many: [Any]; }
rpc_service Shelf { Put(Box): Item; }
`

// What a builder says of mistakes, that what it takes is well-formed, and what NULL is.
const buildersProgram = `#include <stdio.h>
#include "x.smf.h"

static void no_name(struct smf_flat_builder *b)
{
    b_Item_start_table(b);
    (void)b_Item_end_table(b);
}

static void twice(struct smf_flat_builder *b)
{
    b_Item_start_table(b);
    b_Item_add_count(b, 7);
    b_Item_add_count(b, 0);
}

static void hole(struct smf_flat_builder *b)
{
    struct b_Item_ref none = {0};
    struct b_Any_ref values[1] = {b_Any_of_Item(none)};
    struct b_Any_vector_ref many = b_Any_build_vector(b, values, 1);

    b_Box_start_table(b);
    b_Box_add_many(b, many);
    (void)b_Box_finish_root(b, b_Box_end_table(b));
}

int main(void)
{
    static void (*const builds[])(struct smf_flat_builder *b) = {no_name, twice, hole};
    struct smf_flat_builder b;

    for (int i = 0; i < 3; i++) {
        smf_flat_builder_init(&b, NULL, 0);
        builds[i](&b);
        printf("%s\n", b.problem != NULL ? b.problem : "well");
        if (b.finished)
            printf("%d\n", b_Box_verify_as_root(smf_flat_payload(&b), smf_flat_size_bytes(&b), NULL));
        smf_flat_builder_fini(&b);
    }
    printf("%d\n", b_Box_as_root(NULL) == NULL);
    (void)b_Shelf_Put(NULL, &b, 0, NULL, NULL); /* its end is nobody's business */
    return 0;
}
`

func TestWhatBuildersSay(t *testing.T) {
	b := newBuild(t, []*compiled{compileText(t, buildersSchema)})
	b.write("main.c", []byte(buildersProgram))
	b.write("stubs.c", []byte(strings.Replace(stubs, "(void)timeout_us, (void)deliver, (void)callback, (void)context;",
		"(void)timeout_us; deliver(NULL, NULL, callback, context);", 1)))
	include := []string{"-I", filepath.Join(b.root, "native/include"), "-I", filepath.Join(b.root, "native/src")}
	flat := filepath.Join(b.root, "native/src/flat")
	b.run(slices.Concat([]string{"cc", "-std=gnu11", "-c", "stubs.c", filepath.Join(flat, "flat_build.c"),
		filepath.Join(flat, "flat_verify.c")}, include)...)
	for _, args := range compilers {
		t.Run(args[0], func(t *testing.T) {
			b.run(slices.Concat(compiler(t, args), strict, include,
				[]string{"-o", "main", "main.c", "x.smf.c", "-x", "none", "stubs.o", "flat_build.o", "flat_verify.o"})...)
			output, err := exec.Command(filepath.Join(b.folder, "main")).CombinedOutput()
			require.NoError(t, err)
			require.Equal(t, "Item.name: required field is missing\na field is added twice\nwell\n0\n1\n", string(output))
		})
	}
}
