#include <promptseg_msgs/msg/mask_array.h>
#include <stdio.h>

int main(void) {
    promptseg_msgs__msg__MaskArray* answer = promptseg_msgs__msg__MaskArray__create();
    if (!answer) return 1;
    promptseg_msgs__msg__ObjectMask__Sequence__init(&answer->masks, 3);
    printf("%zu masks\n", answer->masks.size);
    promptseg_msgs__msg__MaskArray__destroy(answer);
    return 0;
}
