/* embed.S - models/spark.gguf as the bytes between two symbols; none in a tree without that file. */
#ifndef PREFIX
#define PREFIX
#endif
#define CAT2(a, b) a##b
#define CAT(a, b) CAT2(a, b)
#define BEGIN CAT(PREFIX, hearth_spark_begin)
#define END CAT(PREFIX, hearth_spark_end)
#ifdef __APPLE__
    .section __TEXT,__const
#else
    .section .rodata
#endif
    .globl BEGIN
    .globl END
    .balign 4096
BEGIN:
#ifndef EMPTY
    .incbin "models/spark.gguf"
#endif
END:
    .byte 0
#ifdef __ELF__
    .section .note.GNU-stack,"",%progbits
#endif
/* Nothing here jumps: the program may be marked as one whose jumps are protected, as its other parts are. */
#ifdef __CET__
#define MARK 0xc0000002
#elif defined(__ARM_FEATURE_BTI_DEFAULT)
#define MARK 0xc0000000
#endif
#ifdef MARK
    .section .note.gnu.property,"a"
    .balign 8
    .long 4, 16, 5
    .asciz "GNU"
    .long MARK, 4, 3, 0
#endif
